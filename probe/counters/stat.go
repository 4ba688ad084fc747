package counters

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Tick is the unit in which /proc/stat counts time, one of USER_HZ: a
// hundredth of a second on every Linux that Go runs on.
const Tick = time.Second / 100

// maxCPU keeps a hostile processor number within an int of any system.
const maxCPU = math.MaxInt32

// Stat holds what the scheduler has counted for the whole machine since it
// started: the "cpu" and "ctxt" lines of /proc/stat. The times are in ticks
// (Tick) and summed over all processors. User holds Guest, and Nice holds
// GuestNice.
//
// Source: proc_stat(5), Documentation/filesystems/proc.rst.
type Stat struct {
	User, Nice, System, Idle, IOWait, IRQ, SoftIRQ uint64
	// Steal is the time in which the hypervisor ran something else although a
	// processor of this machine had work to do.
	Steal            uint64
	Guest, GuestNice uint64

	ContextSwitches uint64
}

// ReadStat reads /proc/stat. In a container it is still that of the whole
// machine, unless something such as lxcfs stands in for it.
func ReadStat() (Stat, error) {
	return readAs("scheduler counters", "/proc/stat", parseStat)
}

// Sub returns what was counted since an earlier reading. A counter that went
// back, as the kernel lets idle and I/O wait do, counts as not moved.
func (s Stat) Sub(earlier Stat) Stat {
	was := earlier.columns()
	for i, now := range s.columns() {
		*now = since(*now, *was[i])
	}
	s.ContextSwitches = since(s.ContextSwitches, earlier.ContextSwitches)
	return s
}

// StealShare is the part of the processor time that was stolen, 0 to 1. Over a
// stretch of a few ticks it moves in large steps.
func (s Stat) StealShare() float64 {
	total := s.User + s.Nice + s.System + s.Idle + s.IOWait + s.IRQ + s.SoftIRQ + s.Steal
	if total == 0 {
		return 0
	}
	return float64(s.Steal) / float64(total)
}

// String lists what is not zero, by the kernel's names, such as
// "user 30ms, ctxt 12".
func (s Stat) String() string {
	var l list
	for i, ticks := range s.columns() {
		add(&l, statColumns[i], time.Duration(*ticks)*Tick)
	}
	add(&l, "ctxt", s.ContextSwitches)
	return l.String()
}

// statColumns are the times that a "cpu" line has, in its order. Old kernels
// have fewer.
var statColumns = [...]string{
	"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice",
}

func (s *Stat) columns() [len(statColumns)]*uint64 {
	return [...]*uint64{
		&s.User, &s.Nice, &s.System, &s.Idle, &s.IOWait, &s.IRQ, &s.SoftIRQ, &s.Steal, &s.Guest, &s.GuestNice,
	}
}

// parseStat takes columns that an old kernel does not have for zero.
func parseStat(text string) (Stat, error) {
	var stat Stat
	found := false
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var columns []*uint64
		switch name {
		case "cpu":
			all := stat.columns()
			found, columns = true, all[:]
		case "ctxt":
			columns = []*uint64{&stat.ContextSwitches}
		default:
			continue
		}
		if err := parseTicks(rest, columns); err != nil {
			return Stat{}, fmt.Errorf("line %q: %w", name, err)
		}
	}
	if !found {
		return Stat{}, errors.New(`no "cpu" line`)
	}
	return stat, nil
}

// parseTicks reads as many values as there are columns for.
func parseTicks(text string, columns []*uint64) error {
	for i, value := range strings.Fields(text) {
		if i == len(columns) {
			break
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return err
		}
		*columns[i] = n
	}
	return nil
}
