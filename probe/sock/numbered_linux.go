package sock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// TrySocket makes one socket(2) of these numbers, closes what it opened, and
// returns what the kernel says.
func TrySocket(domain, kind, protocol int) error {
	fd, err := unix.Socket(domain, kind, protocol)
	if err != nil {
		return fmt.Errorf("socket(%d, %d, %d): %w", domain, kind, protocol, err)
	}
	return unix.Close(fd)
}

// TrySocketPair makes one socketpair(2) of these numbers, closes what it
// opened, and returns what the kernel says.
func TrySocketPair(domain, kind, protocol int) error {
	fds, err := unix.Socketpair(domain, kind, protocol)
	if err != nil {
		return fmt.Errorf("socketpair(%d, %d, %d): %w", domain, kind, protocol, err)
	}
	unix.Close(fds[0])
	return unix.Close(fds[1])
}

// SetNumbered gives an option a value by its numbers, which the kernel need not
// know (setsockopt(2)).
func (s *Socket) SetNumbered(level, name, value int) error {
	if err := unix.SetsockoptInt(s.fd, level, name, value); err != nil {
		return fmt.Errorf("set option %d of level %d on a %s socket: %w", name, level, s.kind, err)
	}
	return nil
}

// GetNumbered reads an option by its numbers, which the kernel need not know
// (getsockopt(2)).
func (s *Socket) GetNumbered(level, name int) (int, error) {
	value, err := unix.GetsockoptInt(s.fd, level, name)
	if err != nil {
		return 0, fmt.Errorf("read option %d of level %d of a %s socket: %w", name, level, s.kind, err)
	}
	return value, nil
}

// SetCongestionControl chooses the algorithm of a TCP socket by its name
// (TCP_CONGESTION, tcp(7)).
func (s *Socket) SetCongestionControl(name string) error {
	if err := unix.SetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
		return fmt.Errorf("set TCP_CONGESTION to %q: %w", name, err)
	}
	return nil
}

// CongestionControl is the name of a TCP socket's algorithm (TCP_CONGESTION,
// tcp(7)).
func (s *Socket) CongestionControl() (string, error) {
	name, err := unix.GetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		return "", fmt.Errorf("read TCP_CONGESTION: %w", err)
	}
	return name, nil
}
