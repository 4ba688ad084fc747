package counters

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	threadSchedstat = "/proc/thread-self/schedstat"
	threadFolder    = "/proc/self/task"
)

// errNotCounted is for a thread that says it never ran although it reads this:
// before Linux 5.14 the file has zeros where nothing counts.
var errNotCounted = fmt.Errorf("this kernel does not count scheduling (delayacct): %w", errors.ErrUnsupported)

// ReadThread tells how the calling thread was scheduled since it began. Two
// readings are of one thread only under runtime.LockOSThread. The time on the
// processor is brought up to date when the thread stops running and with the
// timer interrupt, so that it can lag by some milliseconds. It fails with an
// error that wraps fs.ErrNotExist or errors.ErrUnsupported where the kernel
// does not count.
//
// Source: Documentation/scheduler/sched-stats.rst.
func ReadThread() (Scheduled, error) {
	s, err := readAs("the thread's scheduling", threadSchedstat, parseThread)
	if err == nil && s == (Scheduled{}) {
		return Scheduled{}, fmt.Errorf("reading %s: %w", threadSchedstat, errNotCounted)
	}
	return s, err
}

// Threads tells how each thread of this process was scheduled since it began,
// by thread ID. The first one's ID is that of the process; it is the only one
// that /proc/self/schedstat tells of.
type Threads map[int]Scheduled

// ReadThreads reads what ReadThread does of every thread of this process. One
// that ends meanwhile is left out.
func ReadThreads() (Threads, error) {
	names, err := readNames(threadFolder)
	if err != nil {
		return nil, fmt.Errorf("reading the threads' scheduling: %w", err)
	}
	threads := make(Threads, len(names))
	for _, name := range names {
		id, err := strconv.Atoi(name)
		if err != nil {
			return nil, fmt.Errorf("thread %q in %s: %w", name, threadFolder, err)
		}
		s, err := readAs("the threads' scheduling", threadFolder+"/"+name+"/schedstat", parseThread)
		if ended(err, name) {
			continue
		}
		if err != nil {
			return nil, err
		}
		threads[id] = s
	}
	if threads.Total() == (Scheduled{}) {
		return nil, fmt.Errorf("reading %s: %w", threadFolder, errNotCounted)
	}
	return threads, nil
}

// ended tells a thread that is gone from a kernel that has no such file.
func ended(err error, name string) bool {
	if errors.Is(err, syscall.ESRCH) {
		return true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	names, err := readNames(threadFolder)
	return err == nil && !slices.Contains(names, name)
}

// Total adds up the threads.
func (t Threads) Total() Scheduled {
	var total Scheduled
	for _, s := range t {
		total.Running += s.Running
		total.Waiting += s.Waiting
		total.Timeslices += s.Timeslices
	}
	return total
}

// Sub returns what was counted since an earlier reading. A thread that is new,
// or has the ID of one that ended, counts from its beginning; what one that
// ended did meanwhile is not known.
func (t Threads) Sub(earlier Threads) Threads {
	diff := make(Threads, len(t))
	for id, now := range t {
		was := earlier[id]
		if now.Running < was.Running || now.Waiting < was.Waiting || now.Timeslices < was.Timeslices {
			was = Scheduled{}
		}
		diff[id] = now.Sub(was)
	}
	return diff
}

// String lists what is not zero, such as "thread 7 (running 3ms, timeslices 4)".
func (t Threads) String() string {
	var l list
	for _, id := range slices.Sorted(maps.Keys(t)) {
		l.addGroup(fmt.Sprintf("thread %d", id), t[id])
	}
	return l.String()
}

func parseThread(text string) (Scheduled, error) { return parseScheduled(strings.Fields(text)) }
