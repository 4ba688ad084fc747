package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// waitWhile sleeps until a word has no longer a value, for a time at most where that
// is not 0. A thread that is interrupted now and then (ticking) gives up then.
func (w *word) waitWhile(value uint32, limit time.Duration, stop *atomic.Bool) error {
	var waited patience
	for w.value.Load() == value {
		_, _, errno := syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&w.value)), futexWait, uintptr(value), 0, 0, 0)
		switch errno {
		case 0, unix.EAGAIN: // of futex: it has another value
		case unix.EINTR:
			if err := waited.goOn(errno, stop, limit); err != nil {
				return err
			}
		default:
			return os.NewSyscallError("futex", errno)
		}
	}
	return nil
}

// futex is two threads that wake each other (futex(2)).
type futex struct {
	*raw
	to, back *word
}

func openFutex(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	if err := interrupting(); err != nil {
		return nil, lackingTicks(s, err)
	}
	f := &futex{newRaw(ctx, s), &word{}, &word{}}
	e := &rawEngine{f.raw, oneByOneOf(s, f)}
	if err := f.raw.serve(pair.Server, f.echo); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// echo answers each wake-up with one.
func (f *futex) echo() error {
	for last := uint32(0); ; {
		if err := f.to.waitWhile(last, 0, f.stop); err != nil {
			return err
		}
		last = f.to.value.Load()
		f.back.wake(last)
	}
}

func (f *futex) roundTrip(sequence uint64) error {
	last := f.back.value.Load()
	f.to.wake(uint32(sequence))
	if err := f.back.waitWhile(last, silenceTimeout, f.stop); err != nil {
		return f.failed(sequence, err)
	}
	return nil
}

func (f *futex) verify(sequence uint64) error {
	if got := f.back.value.Load(); got != uint32(sequence) {
		return f.failed(sequence, fmt.Errorf("woken by number %d", got))
	}
	return nil
}
