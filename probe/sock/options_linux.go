package sock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SetReuseAddr lets the socket be bound to an address that others with the
// same option are bound to, as long as none of them listens (SO_REUSEADDR,
// socket(7)). Set it before Bind.
func (s *Socket) SetReuseAddr() error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("set SO_REUSEADDR on a %s socket: %w", s.kind, err)
	}
	return nil
}

// BindToDevice makes the socket receive from that interface alone
// (SO_BINDTODEVICE, socket(7)). Before Linux 5.7 it takes CAP_NET_RAW, and
// without that gives EPERM.
func (s *Socket) BindToDevice(name string) error {
	if err := unix.BindToDevice(s.fd, name); err != nil {
		return fmt.Errorf("bind a %s socket to device %s: %w", s.kind, name, err)
	}
	return nil
}
