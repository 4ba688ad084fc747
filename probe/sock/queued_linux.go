package sock

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// QueueErrors keeps the ICMP errors that reach the socket from now on, for
// QueuedError (IP_RECVERR, ip(7)). An established TCP connection then ends at
// errors that it would otherwise outlive.
func (s *Socket) QueueErrors() error {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if s.family == IPv6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(s.fd, level, option, 1); err != nil {
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
	oob := make([]byte, 256)
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
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return nil, fmt.Errorf("parse the error queue of a %s socket: %w", s.kind, err)
		}
		for _, m := range messages {
			if icmp := icmpError(m); icmp != nil {
				return icmp, nil
			}
		}
	}
}

// icmpError is the ICMP error that a control message holds, nil where it holds
// something else, such as an error of this machine's own.
func icmpError(m unix.SocketControlMessage) *ICMPError {
	isError := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
		m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
	if !isError || len(m.Data) < int(unsafe.Sizeof(unix.SockExtendedErr{})) {
		return nil
	}
	e := (*unix.SockExtendedErr)(unsafe.Pointer(&m.Data[0]))
	if e.Origin != unix.SO_EE_ORIGIN_ICMP && e.Origin != unix.SO_EE_ORIGIN_ICMP6 {
		return nil
	}
	return &ICMPError{Type: e.Type, Code: e.Code}
}
