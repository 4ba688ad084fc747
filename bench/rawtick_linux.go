package bench

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pollInterval is how long a blocked call of a raw end stays in the kernel at
// most. Go's runtime stops a thread by a signal, after which the kernel restarts
// a call by itself (SA_RESTART, signal(7)): a thread that waits for a silent peer
// would hold up a collection for as long. So a signal of our own, which restarts
// nothing, reaches the thread now and then. A timeout of the socket would do it as
// well (SO_RCVTIMEO, socket(7)), but arms a timer in each call that blocks: it
// takes a percent of a round trip on one processor.
const pollInterval = 20 * time.Millisecond

// tickSignal is a real-time signal that nothing in this process uses otherwise.
// Go's handler does nothing when it comes.
const tickSignal = 63

// Flags of a handler (sigaction(2)). Go gives all three to each of its own.
const (
	saSiginfo    = 0x00000004
	saOnstack    = 0x08000000
	saRestart    = 0x10000000
	handlerFlags = saSiginfo | saOnstack | saRestart
)

// sigaction is the kernel's (rt_sigaction(2)): handler, flags, and what differs
// between architectures.
type sigaction struct {
	handler, flags uintptr
	rest           [6]uintptr
}

// interrupting makes calls return EINTR after the tick signal, from now on.
var interrupting = sync.OnceValue(func() error {
	const setBytes = 8 // of a set of 64 signals
	var action sigaction
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, tickSignal, 0, uintptr(unsafe.Pointer(&action)), setBytes, 0, 0); errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	if action.flags&handlerFlags != handlerFlags {
		return fmt.Errorf("signal %d has another handler than Go's", tickSignal)
	}
	action.flags &^= saRestart
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, tickSignal, uintptr(unsafe.Pointer(&action)), 0, setBytes, 0, 0); errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	return nil
})

// ticking is a timer that interrupts what a thread waits in (timer_create(2)).
type ticking struct{ id int32 }

// sigevent is the kernel's struct sigevent, for SIGEV_THREAD_ID.
type sigevent struct {
	value               uintptr
	signal, notify, tid int32
	_                   [12]int32
}

const sigevThreadID = 4

// startTicking interrupts the calling thread from now on. The goroutine has to be
// locked to it.
func startTicking() (ticking, error) {
	if err := interrupting(); err != nil {
		return ticking{}, err
	}
	var t ticking
	event := sigevent{signal: tickSignal, notify: sigevThreadID, tid: int32(unix.Gettid())}
	if _, _, errno := syscall.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&t.id))); errno != 0 {
		return ticking{}, os.NewSyscallError("timer_create", errno)
	}
	every := unix.NsecToTimespec(pollInterval.Nanoseconds())
	spec := unix.ItimerSpec{Interval: every, Value: every}
	if _, _, errno := syscall.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(t.id), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		t.stop()
		return ticking{}, os.NewSyscallError("timer_settime", errno)
	}
	return t, nil
}

func (t ticking) stop() { syscall.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(t.id), 0, 0) }

// lackingTicks makes a *MissingError of what keeps a thread from being
// interrupted.
func lackingTicks(s Spec, err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return &MissingError{s, "another timer (ulimit -i)", err}
	}
	return &MissingError{s, "a timer that interrupts its thread (timer_create(2))", err}
}
