package sock

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// SetUserTimeout bounds how long sent data may stay without acknowledgement
// before the connection is given up with ETIMEDOUT; it counts in milliseconds
// (TCP_USER_TIMEOUT, tcp(7); RFC 5482).
func (s *Socket) SetUserTimeout(limit time.Duration) error {
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds())); err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT to %v: %w", limit, err)
	}
	return nil
}

// IgnoreEverything drops whatever arrives for the socket from now on, before
// the protocol sees it: of a TCP connection the peer hears nothing more, as if
// this end had been unplugged (SO_ATTACH_FILTER, socket(7)).
func (s *Socket) IgnoreEverything() error {
	// One instruction of classic BPF: return 0, keep no byte.
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	runtime.KeepAlive(filter)
	if err != nil {
		return fmt.Errorf("make a %s socket ignore what arrives: %w", s.kind, err)
	}
	return nil
}
