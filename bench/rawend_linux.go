package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawEnd is one end of a connection, of file descriptors that block. Its calls do
// not tell Go's scheduler, which costs more than some of them take: so each end
// has a thread and a processor of Go's to itself, and is interrupted now and then
// (ticking).
type rawEnd struct {
	in, out int
	// datagrams are messages of their own; sockets know calls that pipes do not.
	datagrams, sockets bool
	// flags are those of sending and receiving: MSG_DONTWAIT for an end that spins.
	flags uintptr
	// stop ends what waits.
	stop *atomic.Bool
}

var (
	errStopped = errors.New("stopped")
	errClosed  = fmt.Errorf("the other end has closed the connection: %w", io.EOF)
)

// silenceTimeout is when what an end waits for counts as lost.
const silenceTimeout = replyTimeout + lastLook

// send writes a message. It gives up when nothing more goes out for silenceTimeout.
// What follows the call is for messages that did not go out at once.
func (e *rawEnd) send(p []byte) error {
	var n uintptr
	var errno syscall.Errno
	if e.sockets {
		n, _, errno = syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(e.out), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL|e.flags, 0, 0)
	} else {
		n, _, errno = syscall.RawSyscall(unix.SYS_WRITE, uintptr(e.out), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	}
	switch errno {
	case 0:
		p = p[n:]
	case unix.EINTR, unix.EAGAIN:
	default:
		return os.NewSyscallError("send", errno)
	}
	for len(p) > 0 {
		n, err := e.sendSome(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// sendSome writes as much as there is room for, at least a byte, or a datagram.
func (e *rawEnd) sendSome(p []byte) (int, error) {
	var waited patience
	for {
		var n uintptr
		var errno syscall.Errno
		if e.sockets {
			n, _, errno = syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(e.out), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL|e.flags, 0, 0)
		} else {
			n, _, errno = syscall.RawSyscall(unix.SYS_WRITE, uintptr(e.out), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		}
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.EAGAIN:
			if err := waited.goOn(errno, e.stop, silenceTimeout); err != nil {
				return 0, fmt.Errorf("send: %w", err)
			}
		default:
			return 0, os.NewSyscallError("send", errno)
		}
	}
}

// receive fills p, or takes one datagram. It gives up after some time, where that
// is not 0, and at most two pollIntervals later. What follows the call is for
// messages that did not come at once.
func (e *rawEnd) receive(p []byte, wait time.Duration) (int, error) {
	var n uintptr
	var errno syscall.Errno
	if e.sockets {
		n, _, errno = syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(e.in), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), e.flags, 0, 0)
	} else {
		n, _, errno = syscall.RawSyscall(unix.SYS_READ, uintptr(e.in), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	}
	switch {
	case errno == unix.EINTR || errno == unix.EAGAIN:
		n = 0
	case errno != 0:
		return 0, os.NewSyscallError("receive", errno)
	case n == 0:
		return 0, e.nothing()
	case int(n) == len(p) || e.datagrams:
		return int(n), nil
	}
	for got := int(n); ; {
		more, err := e.receiveSome(p[got:], wait)
		got += more
		if err != nil || got == len(p) || e.datagrams {
			return got, err
		}
	}
}

// receiveSome takes what there is, at least a byte, or a datagram.
func (e *rawEnd) receiveSome(p []byte, wait time.Duration) (int, error) {
	var waited patience
	for {
		var n uintptr
		var errno syscall.Errno
		if e.sockets {
			n, _, errno = syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(e.in), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), e.flags, 0, 0)
		} else {
			n, _, errno = syscall.RawSyscall(unix.SYS_READ, uintptr(e.in), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		}
		switch errno {
		case 0:
			if n == 0 {
				return 0, e.nothing()
			}
			return int(n), nil
		case unix.EINTR, unix.EAGAIN:
			if err := waited.goOn(errno, e.stop, wait); err != nil {
				return 0, err
			}
		default:
			return 0, os.NewSyscallError("receive", errno)
		}
	}
}

// nothing is what it means that a call received no bytes: an empty datagram, or
// the end of the connection.
func (e *rawEnd) nothing() error {
	switch {
	case e.stop.Load():
		return errStopped
	case e.datagrams:
		return nil
	}
	return errClosed
}

// patience is how long a call has not got what it waits for.
type patience struct {
	looks int
	began time.Time // the first interruption
}

// spins is after how many looks an end that spins asks whether to go on.
const spins = 1 << 12

// goOn says after EINTR or EAGAIN that there is no reason to give up: errStopped, or
// os.ErrDeadlineExceeded where there is a limit. Go's scheduler gets the thread when
// it was interrupted twice, as it may want to stop it: a first interruption comes as
// well while the peer is at work, and must not cost a round trip that much.
func (p *patience) goOn(errno syscall.Errno, stop *atomic.Bool, limit time.Duration) error {
	p.looks++
	spinning := errno == unix.EAGAIN
	if spinning && p.looks%spins != 0 {
		return nil
	}
	if stop.Load() {
		return errStopped
	}
	switch {
	case p.began.IsZero():
		p.began = time.Now()
	case limit > 0 && time.Since(p.began) > limit:
		return fmt.Errorf("nothing within %v: %w", limit, os.ErrDeadlineExceeded)
	}
	if spinning || p.looks > 1 {
		runtime.Gosched()
	}
	return nil
}
