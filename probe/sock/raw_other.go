//go:build !linux

package sock

func NewRaw(Family, int) (*Socket, error) { return nil, errUnsupported }
func NewRawICMP(Family) (*Socket, error)  { return nil, errUnsupported }
