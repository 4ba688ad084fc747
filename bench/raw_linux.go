package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// pollInterval is how long a blocked call of a raw end stays in the kernel at
// most. Go's runtime stops a thread by a signal, after which the kernel restarts
// a call by itself; one that has a timeout returns EINTR instead (signal(7)), so
// that the thread can let the runtime have its way.
const pollInterval = 100 * time.Millisecond

// rawEnd is one end of a connection, of file descriptors that block. Its calls do
// not tell Go's scheduler, which costs more than some of them take: so each end
// has a thread and a processor of Go's to itself.
type rawEnd struct {
	in, out int
	// datagrams are messages of their own; sockets know calls that pipes do not.
	datagrams, sockets bool
	// flags are those of receiving: MSG_DONTWAIT for an end that spins.
	flags uintptr
	// stop ends what waits.
	stop *atomic.Bool
}

// rawProcessors is how many of Go's processors it takes for both ends to block in
// the kernel while others still run.
const rawProcessors = 6

var errStopped = errors.New("stopped")

func (e *rawEnd) send(p []byte) error {
	for len(p) > 0 {
		var n uintptr
		var errno syscall.Errno
		if e.sockets {
			n, _, errno = syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(e.out), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		} else {
			n, _, errno = syscall.Syscall(unix.SYS_WRITE, uintptr(e.out), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		}
		switch errno {
		case 0:
			p = p[n:]
		case unix.EINTR, unix.EAGAIN:
			if e.stop.Load() {
				return errStopped
			}
			runtime.Gosched()
		default:
			return os.NewSyscallError("send", errno)
		}
	}
	return nil
}

// spins is after how many looks an end that spins asks whether to go on.
const spins = 1 << 12

// receive fills p, or takes one datagram. It waits until the deadline, where
// there is one, and at most a pollInterval longer.
func (e *rawEnd) receive(p []byte, wait time.Duration) (got int, err error) {
	var began time.Time
	looks := 0
	for got < len(p) {
		var n uintptr
		var errno syscall.Errno
		if e.sockets {
			n, _, errno = syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(e.in), uintptr(unsafe.Pointer(&p[got])), uintptr(len(p)-got), e.flags, 0, 0)
		} else {
			n, _, errno = syscall.Syscall(unix.SYS_READ, uintptr(e.in), uintptr(unsafe.Pointer(&p[got])), uintptr(len(p)-got))
		}
		switch {
		case errno == 0 && n == 0 && (!e.datagrams || e.stop.Load()):
			return got, errStopped // the other end is closed
		case errno == 0:
			got += int(n)
			if e.datagrams {
				return got, nil
			}
		case errno == unix.EINTR, errno == unix.EAGAIN:
			if looks++; e.flags != 0 && errno == unix.EAGAIN && looks%spins != 0 {
				continue
			}
			if e.stop.Load() {
				return got, errStopped
			}
			if began.IsZero() {
				began = time.Now()
			}
			if wait > 0 && time.Since(began) > wait {
				return got, fmt.Errorf("no response within %v: %w", wait, os.ErrDeadlineExceeded)
			}
			runtime.Gosched()
		default:
			return got, os.NewSyscallError("receive", errno)
		}
	}
	return got, nil
}

// raw is an engine of file descriptors: a client on the thread that measures, and
// a server on a thread of its own that echoes.
type raw struct {
	name              string
	client            *rawEnd
	request, response []byte
	// owed is how many answers did not come in time, and may come yet.
	owed      int
	looks     *looks // nil where both stay on their processors
	stop      *atomic.Bool
	stopWatch func() bool
	files     []int
	served    chan error
}

// openRaw makes both ends and starts the server on a processor.
func openRaw(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	make, found := rawPairs[s.Transport]
	if !found {
		return nil, fmt.Errorf("transport %q is not known to the raw engine", s.Transport)
	}
	client, server, err := make()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Transport, err)
	}
	r, err := startRaw(ctx, s, client, server, pair.Server)
	if err != nil {
		return nil, err
	}
	return newSingle(s, r), nil
}

func startRaw(ctx context.Context, s Spec, client, server *rawEnd, cpu int) (*raw, error) {
	size := s.SizeBytes
	r := &raw{name: s.Transport, client: client, stop: &atomic.Bool{}, served: make(chan error, 1)}
	if s.Placement == topology.Free {
		r.looks = &looks{}
	}
	for _, e := range []*rawEnd{client, server} {
		e.stop = r.stop
		if e.sockets && s.Engine == RawSpin {
			e.flags = unix.MSG_DONTWAIT
		}
		r.files = append(r.files, e.in)
		if e.out != e.in {
			r.files = append(r.files, e.out)
		}
	}
	r.request, r.response = make([]byte, size), make([]byte, size+1)
	for i := range r.request {
		r.request[i] = byte(i) | 1
	}
	ready := make(chan error, 1)
	message := make([]byte, size)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends
		err := topology.Stay(cpu)
		ready <- err
		if err == nil {
			r.served <- server.echo(message, r.looks)
		}
	}()
	if err := <-ready; err != nil {
		r.served <- nil
		return nil, errors.Join(err, r.close())
	}
	r.stopWatch = context.AfterFunc(ctx, func() { r.stop.Store(true) })
	return r, nil
}

// echo answers each message until it is stopped.
func (e *rawEnd) echo(message []byte, looks *looks) error {
	for k := 0; ; k++ {
		if looks != nil && k%lookEvery == 0 {
			looks.asServer()
		}
		n, err := e.receive(message, 0)
		if err == nil {
			err = e.send(message[:n])
		}
		if errors.Is(err, errStopped) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("server: %w", err)
		}
	}
}

func (r *raw) roundTrip(sequence uint64) error {
	if r.looks != nil && sequence%lookEvery == 0 {
		r.looks.asClient()
	}
	mark(r.request, sequence)
	err := r.client.send(r.request)
	if err == nil {
		err = r.take()
	}
	if err != nil {
		return fmt.Errorf("%s round trip %d: %w", r.name, sequence, err)
	}
	return nil
}

// take receives the response. Of datagrams, one to an earlier request may come
// before it.
func (r *raw) take() error {
	room := r.response[:len(r.request)]
	if r.client.datagrams {
		room = r.response // one that is too long is seen
	}
	for {
		got, err := r.client.receive(room, replyTimeout+lastLook)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.owed++
		}
		if err != nil {
			return err
		}
		if got != len(r.request) {
			return fmt.Errorf("response of %d bytes, want %d", got, len(r.request))
		}
		if r.owed == 0 || bytes.Equal(r.response[:got], r.request) {
			return nil
		}
		r.owed--
	}
}

func (r *raw) verify(sequence uint64) error {
	if bytes.Equal(r.response[:len(r.request)], r.request) {
		return nil
	}
	return fmt.Errorf("%s round trip %d: the response differs from its request", r.name, sequence)
}

// keepWaiting has nothing to move on: each receive counts its own time.
func (r *raw) keepWaiting() error { return nil }

func (r *raw) remote() (usage, error) { return r.looks.usage(), nil }

func (r *raw) close() error {
	if r.stopWatch != nil {
		r.stopWatch()
	}
	r.stop.Store(true)
	// What the server waits in ends at once; of a pipe when its other end closes.
	theirs := r.files
	if r.client.sockets {
		for _, fd := range r.files {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
	} else {
		const mine = 2
		for _, fd := range r.files[:mine] {
			_ = unix.Close(fd)
		}
		theirs = r.files[mine:]
	}
	err := <-r.served
	for _, fd := range theirs {
		_ = unix.Close(fd)
	}
	return err
}
