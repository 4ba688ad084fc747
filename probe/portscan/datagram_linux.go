package portscan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
)

// datagramBatch is how many datagrams are sent before the error queue is read.
// Its entries count against the receive buffer, at about 1 KiB each.
const datagramBatch = 64

// unreachablePort is the ICMP error with which a stack says that nobody has a
// UDP port (RFC 1122 4.1.3.1), and the same of ICMPv6 (RFC 4443 3.1).
var (
	unreachablePort   = errqueue.Error{Type: 3, Code: 3}
	unreachablePortV6 = errqueue.Error{Type: 1, Code: 4, IPv6: true}
)

// datagramAsker sends empty datagrams.
type datagramAsker struct {
	fd     int
	port   uint16
	addr   netip.Addr
	to     unix.Sockaddr
	toPort *int
	in     *mmsg.Batch
	errors *mmsg.Batch
}

func openDatagram(local, to netip.Addr, of func(uint16) dislike) (asker, error) {
	fd, port, err := bindFree(unix.SOCK_DGRAM, local, of)
	if err != nil {
		return nil, err
	}
	a := &datagramAsker{fd: fd, port: port, addr: to.WithZone(""), in: mmsg.New(32, 0, 0), errors: mmsg.New(datagramBatch, 0, errqueue.ControlBytes)}
	a.to, a.toPort = sockaddr(to)
	if err := errqueue.Enable(fd, to.Is6()); err != nil {
		a.close()
		return nil, fmt.Errorf("queue the errors of a socket: %w", err)
	}
	return a, nil
}

func (a *datagramAsker) holds() []uint16 { return []uint16{a.port} }

func (a *datagramAsker) close() { _ = unix.Close(a.fd) }

func (a *datagramAsker) ask(ctx context.Context, ports []uint16, wait time.Duration, tell listener) error {
	missing := newAwaited(ports)
	record := missing.noting(tell.record)
	for begin := 0; begin < len(ports); begin += datagramBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := ports[begin:min(begin+datagramBatch, len(ports))]
		for _, port := range part {
			if err := a.send(port, record); err != nil {
				return err
			}
		}
		if err := a.drain(record); err != nil {
			return err
		}
		tell.asked(len(part))
	}
	return missing.await(ctx, a.fd, wait, func() error { return a.drain(record) })
}

func (a *datagramAsker) send(port uint16, record recorder) error {
	*a.toPort = int(port)
	var r refusal
	for tries := 0; ; tries++ {
		err := unix.Sendto(a.fd, nil, 0, a.to)
		if err == nil || errors.Is(err, unix.EINTR) {
			if err == nil {
				return nil
			}
			continue
		}
		// Mostly the error is that of the datagram before, of which the queue will
		// tell: reading it costs more than sending again.
		if tries == 0 && errors.Is(err, unix.ECONNREFUSED) {
			continue
		}
		queued, queueErr := a.drainErrors(record)
		if queueErr != nil {
			return queueErr
		}
		refused, err := r.judge(port, err, queued)
		if err != nil {
			return fmt.Errorf("send a datagram to port %d: %w", port, err)
		}
		if refused != 0 {
			record(port, Answer{State: Dropped, Errno: refused})
			return nil
		}
	}
}

// drain records the answers that have come: errors, then datagrams.
func (a *datagramAsker) drain(record recorder) error {
	for {
		if _, err := a.drainErrors(record); err != nil {
			return err
		}
		n, err := a.in.Receive(a.fd, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			// It tells of an ICMP error, once, which is in the queue.
			continue
		}
		for i := range n {
			// Others may send to this port as well.
			if a.in.Addr(i) == a.addr {
				record(a.in.Port(i), Answer{State: Open})
			}
		}
	}
}

// drainErrors records the ICMP errors in the queue and counts its entries. The
// kernel names the address that the datagram was for (ip(7), IP_RECVERR).
func (a *datagramAsker) drainErrors(record recorder) (int, error) {
	return drainErrors(a.errors, a.fd, func(i int, e errqueue.Error) {
		answer := Answer{State: Rejected, ICMP: icmpOf(e)}
		e.Errno = 0
		if e == unreachablePort || e == unreachablePortV6 {
			answer = Answer{State: Closed}
		}
		record(a.errors.Port(i), answer)
	})
}
