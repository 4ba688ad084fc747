package bench

import (
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

// openSyscall makes a system call that looks up a number.
func openSyscall(_ context.Context, s Spec, _ topology.Pair) (engine, error) {
	return newSingle(s, calls{func() {
		for range callBatch {
			syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
	}}), nil
}

// Operations of futex(2), on memory that no other process has.
const (
	futexPrivate = 128
	futexWait    = 0 | futexPrivate
	futexWake    = 1 | futexPrivate
)

// word is a number that threads wait for, on a cache line of its own.
type word struct {
	value atomic.Uint32
	_     [124]byte
}

// wake lets the one who waits for a value see another.
func (w *word) wake(value uint32) {
	w.value.Store(value)
	syscall.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&w.value)), futexWake, 1)
}

// waitWhile sleeps until a word has no longer a value. It wakes at times for Go's
// scheduler, as the other raw ends do: without a timeout the call would be restarted
// by the kernel (signal(7)).
func (w *word) waitWhile(value uint32, limit time.Duration, stop *atomic.Bool) error {
	timeout := unix.NsecToTimespec(pollInterval.Nanoseconds())
	var began time.Time
	for w.value.Load() == value {
		_, _, errno := syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&w.value)), futexWait, uintptr(value), uintptr(unsafe.Pointer(&timeout)), 0, 0)
		switch errno {
		case 0, unix.EAGAIN:
		case unix.EINTR, unix.ETIMEDOUT:
			if stop.Load() {
				return errStopped
			}
			if began.IsZero() {
				began = time.Now()
			}
			if limit > 0 && time.Since(began) > limit {
				return fmt.Errorf("no wake-up within %v: %w", limit, os.ErrDeadlineExceeded)
			}
			runtime.Gosched()
		default:
			return os.NewSyscallError("futex", errno)
		}
	}
	return nil
}

// futex is two threads that wake each other (futex(2)).
type futex struct {
	to, back  *word
	stop      atomic.Bool
	stopWatch func() bool
	served    chan error
}

func openFutex(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	f := &futex{to: &word{}, back: &word{}, served: make(chan error, 1)}
	ready := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends
		err := topology.Stay(pair.Server)
		ready <- err
		if err == nil {
			err = f.serve()
		}
		f.served <- err
	}()
	if err := <-ready; err != nil {
		<-f.served
		return nil, err
	}
	f.stopWatch = context.AfterFunc(ctx, func() { f.stop.Store(true) })
	return newSingle(s, f), nil
}

// serve answers each wake-up with one until it is stopped.
func (f *futex) serve() error {
	for last := uint32(0); ; {
		if err := f.to.waitWhile(last, 0, &f.stop); err != nil || f.stop.Load() {
			if errors.Is(err, errStopped) {
				return nil
			}
			return err
		}
		last = f.to.value.Load()
		f.back.wake(last)
	}
}

func (f *futex) roundTrip(sequence uint64) error {
	last := f.back.value.Load()
	f.to.wake(uint32(sequence))
	if err := f.back.waitWhile(last, replyTimeout+lastLook, &f.stop); err != nil {
		return fmt.Errorf("futex round trip %d: %w", sequence, err)
	}
	return nil
}

func (f *futex) verify(sequence uint64) error {
	if got := f.back.value.Load(); got != uint32(sequence) {
		return fmt.Errorf("futex round trip %d: woken by number %d", sequence, got)
	}
	return nil
}

func (f *futex) keepWaiting() error     { return nil }
func (f *futex) remote() (usage, error) { return usage{}, nil }

func (f *futex) close() error {
	f.stopWatch()
	f.stop.Store(true)
	f.to.wake(^f.to.value.Load())
	return <-f.served
}
