package portscan

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
)

// awaited counts the ports that have not answered.
type awaited struct {
	answered [1 << 16 / 64]uint64
	missing  int
}

func newAwaited(ports []uint16) *awaited { return &awaited{missing: len(ports)} }

// noting is a recorder that keeps the count. That a packet was refused on its way
// out is no answer yet: a rule that rejects sends an ICMP error as well, which comes
// a moment later.
func (w *awaited) noting(record recorder) recorder {
	return func(port uint16, answer Answer) {
		if bit := uint64(1) << (port % 64); answer.Errno == 0 && w.answered[port/64]&bit == 0 {
			w.answered[port/64] |= bit
			w.missing--
		}
		record(port, answer)
	}
}

// await drains the socket as answers come, until none is missing or the wait is
// over. The last look comes after that, and after every backlog was empty, so that an
// answer counts even if this thread or the kernel's was kept from its processor.
func (w *awaited) await(ctx context.Context, fd int, wait time.Duration, drain func() error) error {
	until := time.Now().Add(wait)
	for w.missing > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		over := !time.Now().Before(until)
		if err := await(fd, unix.POLLIN, until); err != nil {
			return err
		}
		if over {
			if err := backlogsEmptied(ctx); err != nil {
				return err
			}
		}
		if err := drain(); err != nil {
			return err
		}
		if over {
			return nil
		}
	}
	return nil
}

const (
	// backlogLooks is how often a backlog has to be seen empty: the answer to the
	// last packet of one look stands in it at the next.
	backlogLooks = 2
	// backlogPause goes between looks, and backlogBound bounds them all: a machine
	// that never catches up would be waited for without end.
	backlogPause = time.Millisecond
	backlogBound = 5 * time.Second
)

// backlogsEmptied waits until each processor's backlog was seen empty: what goes over
// loopback waits there for a thread of the kernel, which other processes may keep from
// the processor for longer than any answer is waited for. Before Linux 5.10 the
// kernel does not tell, and it returns at once.
func backlogsEmptied(ctx context.Context) error {
	empty := map[int]int{}
	for until := time.Now().Add(backlogBound); time.Now().Before(until); {
		softnet, err := counters.ReadSoftnet()
		if err != nil || !softnet.Numbered() {
			return nil
		}
		waiting := false
		for cpu, counted := range softnet.PerCPU {
			if counted.Backlog == 0 {
				empty[cpu]++
			}
			waiting = waiting || empty[cpu] < backlogLooks
		}
		if !waiting {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backlogPause):
		}
	}
	return nil
}

// refusal tells why a send failed. The kernel refuses to send (a rule of the
// output hook or a program of a cgroup by EPERM; a route of type prohibit by
// EACCES, unreachable EHOSTUNREACH, blackhole EINVAL, throw or none
// ENETUNREACH; ip-route(8)), or the error is that of an earlier packet, to which
// an ICMP error came, and has not stopped anything but this call.
type refusal struct {
	port  uint16
	errno syscall.Errno
}

// judge says with which errno the kernel refuses to send to the port, or 0
// where the send has to be tried again. Queued is how many errors of earlier
// packets were in the error queue just now. The error is for what is no answer.
func (r *refusal) judge(port uint16, err error, queued int) (syscall.Errno, error) {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return 0, err
	}
	// The socket may still tell of an error that was read from the queue before.
	// It does so once.
	again := *r == refusal{port, errno}
	*r = refusal{port, errno}
	switch errno {
	case unix.EPERM:
		return errno, nil
	case unix.EACCES, unix.EINVAL, unix.ENETUNREACH, unix.EHOSTUNREACH:
		if again && queued == 0 {
			return errno, nil
		}
		return 0, nil
	case unix.ECONNREFUSED, unix.ENOPROTOOPT, unix.EPROTO, unix.EHOSTDOWN, unix.ENONET, unix.EOPNOTSUPP, unix.EMSGSIZE:
		// Only ICMP errors bring these (icmp_err_convert and icmpv6_err_convert of
		// the kernel).
		return 0, nil
	}
	return 0, err
}

// drainErrors empties the error queue of a socket, calls each with the index of
// the message for every ICMP error in it, and counts the entries.
func drainErrors(b *mmsg.Batch, fd int, each func(int, errqueue.Error)) (entries int, err error) {
	for {
		n, err := b.Receive(fd, unix.MSG_ERRQUEUE)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return entries, nil
		case err != nil:
			return entries, fmt.Errorf("read the error queue: %w", err)
		}
		entries += n
		for i := range n {
			if e, ok := errqueue.Decode(b.Control(i)); ok {
				each(i, e)
			}
		}
	}
}
