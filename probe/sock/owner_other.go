//go:build !linux

package sock

// NewOwned opens a socket that belongs to another user, on Linux.
func NewOwned(Kind, Family, int) (*Socket, error) { return nil, errUnsupported }
