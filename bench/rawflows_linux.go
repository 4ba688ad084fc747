package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawFlows makes round trips over several connections at once, each with one
// request under way. One thread a side serves them all (epoll(7)).
type rawFlows struct {
	*raw
	ready    readiness
	flows    []*rawFlow
	underWay int // requests without a response
}

// rawFlow is one end of a connection that may not keep the others waiting: what does
// not go out at once does when there is room.
type rawFlow struct {
	*rawEnd
	outgoing []byte // what is left to send
	blocked  bool   // until there is room for it
	incoming []byte
	got      int // bytes of the incoming message

	// The rest is of a client.
	request  []byte
	sequence uint64
	sent     time.Duration
	waiting  bool // for a response
	owed     int  // responses that did not come in time, and may come yet
	lost     int  // in a row
}

func openRawFlows(r *raw, cpu int) (*rawFlows, error) {
	f := &rawFlows{raw: r}
	server := &rawFlows{raw: r}
	for k := range r.spec.Flows {
		client, other, err := r.pair()
		if err != nil {
			return nil, err
		}
		size := r.spec.SizeBytes
		if client.datagrams {
			size++ // one that is too long is seen
		}
		f.flows = append(f.flows, &rawFlow{rawEnd: client, request: newPayload(r.spec.SizeBytes, k), incoming: make([]byte, size)})
		server.flows = append(server.flows, &rawFlow{rawEnd: other, incoming: make([]byte, size)})
	}
	for _, side := range []struct {
		*rawFlows
		files *[]int
	}{{f, &r.clientFiles}, {server, &r.serverFiles}} {
		if err := side.watch(side.files); err != nil {
			return nil, err
		}
	}
	return f, r.serve(cpu, server.echo)
}

func (f *rawFlows) watch(files *[]int) error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	*files = append(*files, fd)
	f.ready = readiness{fd: fd, events: make([]unix.EpollEvent, len(f.flows))}
	for k, one := range f.flows {
		if err := f.ready.control(unix.EPOLL_CTL_ADD, one.in, k, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

// readiness tells which flows can be read from, or written to.
type readiness struct {
	fd     int
	events []unix.EpollEvent
}

func (r *readiness) control(operation, fd, flow int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(flow)}
	if _, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(r.fd), uintptr(operation), uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// wait returns the events there are. After an interruption there may be none.
func (r *readiness) wait(waited *patience, stop *atomic.Bool) ([]unix.EpollEvent, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(r.fd), uintptr(unsafe.Pointer(unsafe.SliceData(r.events))), uintptr(len(r.events)), ^uintptr(0), 0, 0)
	switch errno {
	case 0:
		*waited = patience{}
		return r.events[:n], nil
	case unix.EINTR:
		return nil, waited.goOn(errno, stop, 0)
	}
	return nil, os.NewSyscallError("epoll_wait", errno)
}

// push sends what is left of a message, as far as there is room.
func (f *rawFlows) push(k int) error {
	one := f.flows[k]
	for len(one.outgoing) > 0 {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(one.out), uintptr(unsafe.Pointer(&one.outgoing[0])), uintptr(len(one.outgoing)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			one.outgoing = one.outgoing[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if one.blocked {
				return nil
			}
			one.blocked = true
			return f.ready.control(unix.EPOLL_CTL_MOD, one.out, k, unix.EPOLLIN|unix.EPOLLOUT)
		default:
			return os.NewSyscallError("send", errno)
		}
	}
	if !one.blocked {
		return nil
	}
	one.blocked = false
	return f.ready.control(unix.EPOLL_CTL_MOD, one.out, k, unix.EPOLLIN)
}

// pull receives what there is, and says whether it is a message or the rest of one,
// which is of got bytes.
func (one *rawFlow) pull() (whole bool, err error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(one.in), uintptr(unsafe.Pointer(&one.incoming[one.got])), uintptr(len(one.incoming)-one.got), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		if n == 0 {
			return false, one.nothing()
		}
		one.got += int(n)
		return one.datagrams || one.got == len(one.incoming), nil
	case unix.EAGAIN, unix.EINTR:
		return false, nil
	}
	return false, os.NewSyscallError("receive", errno)
}

// echo answers each message of all flows.
func (f *rawFlows) echo() error {
	var waited patience
	for operations := 0; ; {
		// A datagram socket that is shut down has events and nothing to read.
		if err := f.keepWaiting(); err != nil {
			return err
		}
		events, err := f.ready.wait(&waited, f.stop)
		if err != nil {
			return err
		}
		for _, event := range events {
			k := int(event.Fd)
			one := f.flows[k]
			if len(one.outgoing) == 0 {
				f.lookAsServer(operations)
				operations++
				whole, err := one.pull()
				if err != nil {
					return err
				}
				if !whole {
					continue
				}
				one.outgoing, one.got = one.incoming[:one.got], 0
			}
			if err := f.push(k); err != nil {
				return err
			}
		}
	}
}

// run keeps a request under way over each flow until the time is over, and then
// waits for the last responses.
func (f *rawFlows) run(m *meter, d time.Duration) error {
	began := m.now()
	for k := range f.flows {
		if err := f.ask(m, k); err != nil {
			return f.flowFailed(k, err)
		}
	}
	var waited patience
	for looked := began; f.underWay > 0; {
		if err := f.keepWaiting(); err != nil {
			return err
		}
		events, err := f.ready.wait(&waited, f.stop)
		if err != nil {
			return err
		}
		for _, event := range events {
			k := int(event.Fd)
			if event.Events&unix.EPOLLOUT != 0 {
				if err := f.push(k); err != nil {
					return f.flowFailed(k, err)
				}
			}
			if err := f.respond(m, k, began+d); err != nil {
				return f.flowFailed(k, err)
			}
		}
		if now := m.now(); now-looked >= waitRefresh {
			looked = now
			for k := range f.flows {
				if err := f.lose(m, k, began+d); err != nil {
					return f.flowFailed(k, err)
				}
			}
		}
	}
	m.elapsed += m.now() - began
	return nil
}

func (f *rawFlows) ask(m *meter, k int) error {
	m.sequence++
	f.look(m.sequence)
	one := f.flows[k]
	one.sequence = m.sequence
	mark(one.request, one.sequence)
	one.waiting, one.outgoing = true, one.request
	f.underWay++
	one.sent = m.now()
	return f.push(k)
}

func (f *rawFlows) flowFailed(k int, err error) error {
	return fmt.Errorf("flow %d: %w", k+1, f.failed(f.flows[k].sequence, err))
}

// respond takes what has come of a response. When it is whole it sends the next
// request, before a moment.
func (f *rawFlows) respond(m *meter, k int, before time.Duration) error {
	one := f.flows[k]
	whole, err := one.pull()
	if err != nil || !whole {
		return err
	}
	now := m.now()
	response := one.incoming[:one.got]
	one.got = 0
	if one.owed > 0 && (!one.waiting || !bytes.Equal(response, one.request)) { // it answers an earlier request
		one.owed--
		return nil
	}
	if len(response) != len(one.request) {
		return fmt.Errorf("response of %d bytes, want %d", len(response), len(one.request))
	}
	if err := differs(one.request, response); err != nil {
		return err
	}
	if !one.waiting {
		return errors.New("a response came twice")
	}
	one.lost = 0
	return f.finish(m, k, now-one.sent, now < before)
}

// lose counts a response that is overdue as lost.
func (f *rawFlows) lose(m *meter, k int, before time.Duration) error {
	one, now := f.flows[k], m.now()
	if !one.waiting || now-one.sent <= silenceTimeout {
		return nil
	}
	if one.lost++; !f.spec.datagrams() || m.lossless || one.lost >= maxLostInARow {
		return unanswered(os.ErrDeadlineExceeded)
	}
	m.lost++
	one.owed++
	return f.finish(m, k, replyTimeout, now < before)
}

func (f *rawFlows) finish(m *meter, k int, took time.Duration, again bool) error {
	f.flows[k].waiting = false
	f.underWay--
	if err := m.record(took); err != nil {
		return err
	}
	if again {
		return f.ask(m, k)
	}
	return nil
}
