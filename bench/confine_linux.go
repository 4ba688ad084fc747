package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// ownPath is the running program, also where its file is gone.
func ownPath() (string, error) { return "/proc/self/exe", nil }

// startOn runs start on a thread that is on a processor for that long, so that the
// process it makes is there from its beginning. The thread is the caller's, so that
// the process has its network namespace.
func startOn(cpu int, start func() error) (err error) {
	if cpu < 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	if err := topology.Stay(cpu); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)))
	}()
	return start()
}

// confined runs f while all threads of this process are on one processor and Go
// makes use of one, as in a service that was started so; a processor of -1 changes
// nothing. Afterwards each thread may run where it could before.
func confined(cpu int, f func() error) (err error) {
	if cpu < 0 {
		return f()
	}
	threads := confinement{before: map[int]unix.CPUSet{}}
	defer func() { err = errors.Join(err, threads.release()) }()
	if err := threads.confine(cpu); err != nil {
		return err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	return f()
}

// confinement is the processors that each thread could run on before, by its ID.
type confinement struct {
	before map[int]unix.CPUSet
	only   unix.CPUSet
}

// confine moves all threads. A thread takes after the one that made it, so that
// there are no others once none is new.
func (c *confinement) confine(cpu int) error {
	c.only.Set(cpu)
	return eachThread(func(tid int) error {
		var may unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &may); err != nil {
			return err
		}
		c.before[tid] = may
		return unix.SchedSetaffinity(tid, &c.only)
	})
}

// release moves all threads back. One that was made meanwhile gets what it would
// have without the confinement: the most that any thread had, such as one of the
// runtime's own that nobody moves. The first thread of the process is not to be
// relied on: a goroutine may have kept it on a processor.
func (c *confinement) release() error {
	usual := c.only
	for _, may := range c.before {
		if may.Count() > usual.Count() {
			usual = may
		}
	}
	return eachThread(func(tid int) error {
		may, known := c.before[tid]
		if !known {
			var now unix.CPUSet
			if err := unix.SchedGetaffinity(tid, &now); err != nil {
				return err
			}
			if now != c.only { // another than a confined thread made it
				return nil
			}
			may = usual
		}
		return unix.SchedSetaffinity(tid, &may)
	})
}

// eachThread calls f for all threads of this process, until none is new. One that
// ends meanwhile does not matter.
func eachThread(f func(tid int) error) error {
	seen := map[int]bool{}
	for {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		fresh := 0
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || seen[tid] {
				continue
			}
			seen[tid] = true
			fresh++
			if err := f(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move thread %d to other processors: %w", tid, err)
			}
		}
		if fresh == 0 {
			return nil
		}
	}
}
