package sock

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// TrySendTo makes one send to an address and returns what the kernel says
// (sendto(2)).
func (s *Socket) TrySendTo(p []byte, to netip.AddrPort, flags Flag) (n int, err error) {
	err = uninterrupted(func() (err error) {
		n, err = unix.SendmsgN(s.fd, p, nil, sockaddr(to), flags.sending())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send %d bytes to %s %s: %w", len(p), s.kind, to, err)
	}
	return n, nil
}
