package bench

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// withoutPort has connect(2) choose the port of a socket that is bound to an
// address, so that it need differ from those of connections to the same server
// alone (ip(7), IP_BIND_ADDRESS_NO_PORT).
func withoutPort(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1))
	})
	if err != nil {
		return err
	}
	return set
}
