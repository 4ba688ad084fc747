//go:build !linux

package sock

// TrySocket makes one socket(2) of these numbers, on Linux.
func TrySocket(int, int, int) error { return errUnsupported }

// TrySocketPair makes one socketpair(2) of these numbers, on Linux.
func TrySocketPair(int, int, int) error { return errUnsupported }

func (s *Socket) SetNumbered(int, int, int) error    { return errUnsupported }
func (s *Socket) GetNumbered(int, int) (int, error)  { return 0, errUnsupported }
func (s *Socket) SetCongestionControl(string) error  { return errUnsupported }
func (s *Socket) CongestionControl() (string, error) { return "", errUnsupported }
