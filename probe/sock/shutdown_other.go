//go:build !linux

package sock

func (s *Socket) ShutdownNumbered(int) error { return errUnsupported }
