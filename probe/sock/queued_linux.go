package sock

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
)

// QueueErrors keeps the ICMP errors that reach the socket from now on, for
// QueuedError (IP_RECVERR, ip(7)). An established TCP connection then ends at
// errors that it would otherwise outlive.
func (s *Socket) QueueErrors() error {
	if err := errqueue.Enable(s.fd, s.family == IPv6); err != nil {
		return fmt.Errorf("queue the errors of a %s socket over %s: %w", s.kind, s.family, err)
	}
	return nil
}

// QueuedError takes the next ICMP error from the socket's error queue without
// waiting, nil for none (MSG_ERRQUEUE, recv(2)). The kernel queues an error
// before it reports it in any other way, and queues nothing for a RST: after
// an ECONNREFUSED the two are told apart by it. For a TCP connection that is
// being opened it does so since Linux 5.8; before that the queue stays empty.
func (s *Socket) QueuedError() (*ICMPError, error) {
	oob := make([]byte, errqueue.ControlBytes)
	for {
		var n int
		err := uninterrupted(func() (err error) {
			_, n, _, _, err = unix.Recvmsg(s.fd, nil, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			return err
		})
		if errors.Is(err, syscall.EAGAIN) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the error queue of a %s socket: %w", s.kind, err)
		}
		if e, ok := errqueue.Decode(oob[:n]); ok {
			return &ICMPError{Type: e.Type, Code: e.Code}, nil
		}
	}
}
