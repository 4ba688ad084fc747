//go:build !linux

package sock

func (s *Socket) SetReuseAddr() error       { return errUnsupported }
func (s *Socket) BindToDevice(string) error { return errUnsupported }
