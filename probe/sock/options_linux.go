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

// SetV6Only keeps an IPv6 socket from taking IPv4 too, so that the same port of
// IPv4 stays free (IPV6_V6ONLY, ipv6(7)). Set it before Bind.
func (s *Socket) SetV6Only() error {
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
		return fmt.Errorf("set IPV6_V6ONLY on a %s socket: %w", s.kind, err)
	}
	return nil
}

// Bequeath returns a descriptor of the socket, not below least, that blocks and
// stays open when another program is executed in this one's place (F_DUPFD,
// fcntl(2)). Nothing closes it but that program.
func (s *Socket) Bequeath(least int) (fd int, err error) {
	fd, err = unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD, least)
	if err != nil {
		return -1, fmt.Errorf("pass on a %s socket: %w", s.kind, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return -1, fmt.Errorf("make a %s socket block: %w", s.kind, err)
	}
	return fd, nil
}
