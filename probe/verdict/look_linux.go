package verdict

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// look decides the answer of a packet whose socket has events (poll(2)), if
// they decide it.
func (f *flight) look(revents int16) error {
	took := time.Since(f.sent)
	// The kernel queues an ICMP error before it sets the socket's, so that what
	// is pending is read first: an errno with an empty queue came by a RST.
	pending, err := unix.GetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("read SO_ERROR: %w", err)
	}
	queued, err := f.queuedError()
	if err != nil {
		return err
	}
	if queued != nil {
		f.answer = f.rejected(*queued, took)
		return nil
	}
	if f.packet.Protocol == sock.UDP {
		return f.lookForDatagram(syscall.Errno(pending), revents, took)
	}
	return f.lookForConnection(syscall.Errno(pending), revents, took)
}

func (f *flight) lookForConnection(pending syscall.Errno, revents int16, took time.Duration) error {
	switch pending {
	case 0:
		// A socket that only reports what it had queued is not writable.
		if revents&unix.POLLOUT != 0 {
			f.answer = &Answer{Verdict: Verdict{Action: Accept}, Took: took}
		}
	case syscall.ECONNRESET, syscall.EPIPE:
		// It stood, and its peer has ended it since.
		f.answer = &Answer{Verdict: Verdict{Action: Accept}, Errno: pending, Took: took}
	case syscall.ECONNREFUSED:
		f.answer = &Answer{Verdict: Verdict{Reject, TCPReset}, Errno: pending, Took: took}
	case syscall.ETIMEDOUT:
		// The wait outlasted net.ipv4.tcp_syn_retries.
		f.answer = &Answer{Verdict: Verdict{Action: Drop}, Errno: pending, Took: took}
	default:
		return fmt.Errorf("connect: %w", pending)
	}
	return nil
}

func (f *flight) lookForDatagram(pending syscall.Errno, revents int16, took time.Duration) error {
	if pending != 0 {
		return fmt.Errorf("no ICMP error was queued beside: %w", pending)
	}
	if revents&unix.POLLIN == 0 {
		return nil
	}
	err := uninterrupted(func() error {
		_, _, err := unix.Recvfrom(f.fd, nil, 0)
		return err
	})
	switch {
	case err == nil:
		f.answer = &Answer{Verdict: Verdict{Action: Accept}, Took: took}
	case errors.Is(err, syscall.EAGAIN):
		// poll(2) may promise a datagram whose checksum then turns out bad.
	default:
		// An ICMP error came just now. It is in the queue for the next look.
	}
	return nil
}

// rejected is the answer of a packet that met an ICMP error.
func (f *flight) rejected(e errqueue.Error, took time.Duration) *Answer {
	family := sock.IPv4
	if e.IPv6 {
		family = sock.IPv6
	}
	icmp := sock.ICMPError{Type: e.Type, Code: e.Code}
	return &Answer{
		Verdict: Verdict{Reject, KindOf(family, icmp)},
		ICMP:    &icmp,
		Errno:   e.Errno,
		Local:   f.refused != 0,
		Took:    took,
	}
}

// queuedError takes the next ICMP error from the socket's error queue, nil for
// none (MSG_ERRQUEUE in recv(2), IP_RECVERR in ip(7), IPV6_RECVERR in ipv6(7)).
// For a SYN the kernel queues them since Linux 5.8.
func (f *flight) queuedError() (*errqueue.Error, error) {
	oob := make([]byte, errqueue.ControlBytes)
	for {
		var n int
		err := uninterrupted(func() (err error) {
			_, n, _, _, err = unix.Recvmsg(f.fd, nil, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			return err
		})
		if errors.Is(err, syscall.EAGAIN) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the error queue: %w", err)
		}
		if e, ok := errqueue.Decode(oob[:n]); ok {
			return &e, nil
		}
	}
}
