package counters

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RunQueues holds what tasks did on each processor that is online, by
// processor number.
type RunQueues map[int]Scheduled

// Scheduled is how long tasks ran and waited to run, and how often they got
// their turn: those of one processor since the machine started, or one thread
// since it began. Waiting is time on the run queue, ready to run while
// something else did; the waits of several tasks add up.
//
// Source: Documentation/scheduler/sched-stats.rst.
type Scheduled struct {
	Running    time.Duration
	Waiting    time.Duration
	Timeslices uint64
}

// ReadRunQueues reads /proc/schedstat. It fails with an error that wraps
// fs.ErrNotExist where the kernel was built without CONFIG_SCHEDSTATS, and
// errors.ErrUnsupported where the file has a version that is not known.
func ReadRunQueues() (RunQueues, error) {
	return readAs("run queue counters", "/proc/schedstat", parseRunQueues)
}

// Sub returns what was counted since an earlier reading. A processor that was
// not online at both is left out.
func (r RunQueues) Sub(earlier RunQueues) RunQueues {
	diff := make(RunQueues, len(r))
	for cpu, now := range r {
		if was, ok := earlier[cpu]; ok {
			diff[cpu] = now.Sub(was)
		}
	}
	return diff
}

// Sub returns what was counted since an earlier reading of the same.
func (s Scheduled) Sub(earlier Scheduled) Scheduled {
	return Scheduled{
		Running:    since(s.Running, earlier.Running),
		Waiting:    since(s.Waiting, earlier.Waiting),
		Timeslices: since(s.Timeslices, earlier.Timeslices),
	}
}

// String lists what is not zero, such as "cpu0 (running 3ms, timeslices 4)".
func (r RunQueues) String() string {
	var l list
	for _, cpu := range slices.Sorted(maps.Keys(r)) {
		l.addGroup(fmt.Sprintf("cpu%d", cpu), r[cpu])
	}
	return l.String()
}

// String lists what is not zero, such as "running 3ms, timeslices 4".
func (s Scheduled) String() string {
	var l list
	add(&l, "running", s.Running)
	add(&l, "waiting", s.Waiting)
	add(&l, "timeslices", s.Timeslices)
	return l.String()
}

const (
	// A version changes with the columns. Those of a processor are the same in
	// these, with which Linux 2.6.30 and all later ones came so far.
	oldestSchedstat, newestSchedstat = 15, 17
	// Columns of a processor before those that are read: calls of the
	// scheduler, which count only with kernel.sched_schedstats=1.
	schedstatCalls = 6
)

func parseRunQueues(text string) (RunQueues, error) {
	queues := RunQueues{}
	version := ""
	for line := range strings.Lines(text) {
		if number, ok := strings.CutPrefix(line, "version "); ok && version == "" {
			version = strings.TrimSpace(number)
			n, err := strconv.Atoi(version)
			if err != nil {
				return nil, fmt.Errorf("version %q: %w", short(version), err)
			}
			if n < oldestSchedstat || n > newestSchedstat {
				return nil, fmt.Errorf("version %d of its columns: %w", n, errors.ErrUnsupported)
			}
			continue
		}
		cpu, rest, ok, err := cutCPU(line)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if _, twice := queues[cpu]; twice {
			return nil, fmt.Errorf("two lines of processor %d", cpu)
		}
		fields := strings.Fields(rest)
		if len(fields) < schedstatCalls {
			return nil, fmt.Errorf("processor %d has %d columns", cpu, len(fields))
		}
		scheduled, err := parseScheduled(fields[schedstatCalls:])
		if err != nil {
			return nil, fmt.Errorf("processor %d: %w", cpu, err)
		}
		queues[cpu] = scheduled
	}
	if version == "" || len(queues) == 0 {
		return nil, errors.New("no version or no processor in it")
	}
	return queues, nil
}

// parseScheduled takes time on the processor and time in wait, both in
// nanoseconds, and the number of turns.
func parseScheduled(fields []string) (Scheduled, error) {
	const want = 3
	if len(fields) != want {
		return Scheduled{}, fmt.Errorf("%d scheduling columns, want %d", len(fields), want)
	}
	var values [want]uint64
	for i, field := range fields {
		value, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return Scheduled{}, err
		}
		values[i] = value
	}
	if max(values[0], values[1]) > math.MaxInt64 {
		return Scheduled{}, fmt.Errorf("%d and %d ns", values[0], values[1])
	}
	return Scheduled{time.Duration(values[0]), time.Duration(values[1]), values[2]}, nil
}
