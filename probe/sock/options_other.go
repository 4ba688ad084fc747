//go:build !linux

package sock

func (s *Socket) SetReuseAddr() error       { return errUnsupported }
func (s *Socket) BindToDevice(string) error { return errUnsupported }
func (s *Socket) SetV6Only() error          { return errUnsupported }
func (s *Socket) Bequeath(int) (int, error) { return -1, errUnsupported }
