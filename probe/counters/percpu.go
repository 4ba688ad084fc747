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

// PerCPU holds how each processor that is online has spent its time, by
// processor number.
type PerCPU map[int]CPUTime

// CPUTime is how one processor has spent its time since the machine started,
// in steps of a Tick: a "cpu0" line of /proc/stat. User holds Guest, and Nice
// holds GuestNice.
//
// Source: proc_stat(5), Documentation/filesystems/proc.rst.
type CPUTime struct {
	User, Nice, System, Idle, IOWait, IRQ, SoftIRQ time.Duration
	// Steal is the time in which the hypervisor ran something else although
	// this processor had work to do.
	Steal            time.Duration
	Guest, GuestNice time.Duration
}

// ReadPerCPU reads /proc/stat, with what ReadStat says of containers.
func ReadPerCPU() (PerCPU, error) {
	return readAs("processor times", "/proc/stat", parsePerCPU)
}

// Sub returns how the time since an earlier reading was spent. A processor
// that was not online at both is left out.
func (p PerCPU) Sub(earlier PerCPU) PerCPU {
	diff := make(PerCPU, len(p))
	for cpu, now := range p {
		if was, ok := earlier[cpu]; ok {
			diff[cpu] = now.Sub(was)
		}
	}
	return diff
}

// Sub returns how the time since an earlier reading was spent. What went back,
// as the kernel lets idle and I/O wait do, counts as not moved.
func (t CPUTime) Sub(earlier CPUTime) CPUTime {
	was := earlier.columns()
	for i, now := range t.columns() {
		*now = since(*now, *was[i])
	}
	return t
}

// String lists what is not zero, such as "cpu0 (user 30ms, idle 1.2s)".
func (p PerCPU) String() string {
	var l list
	for _, cpu := range slices.Sorted(maps.Keys(p)) {
		l.addGroup(fmt.Sprintf("cpu%d", cpu), p[cpu])
	}
	return l.String()
}

// String lists what is not zero, such as "user 30ms, idle 1.2s".
func (t CPUTime) String() string {
	var l list
	for i, column := range t.columns() {
		add(&l, statColumns[i], *column)
	}
	return l.String()
}

func (t *CPUTime) columns() [len(statColumns)]*time.Duration {
	return [...]*time.Duration{
		&t.User, &t.Nice, &t.System, &t.Idle, &t.IOWait, &t.IRQ, &t.SoftIRQ, &t.Steal, &t.Guest, &t.GuestNice,
	}
}

func parsePerCPU(text string) (PerCPU, error) {
	perCPU := PerCPU{}
	for line := range strings.Lines(text) {
		cpu, rest, ok, err := cutCPU(line)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if _, twice := perCPU[cpu]; twice {
			return nil, fmt.Errorf("two lines of processor %d", cpu)
		}
		var ticks Stat
		columns := ticks.columns()
		if err := parseTicks(rest, columns[:]); err != nil {
			return nil, fmt.Errorf("processor %d: %w", cpu, err)
		}
		var spent CPUTime
		for i, column := range spent.columns() {
			if *columns[i] > math.MaxInt64/uint64(Tick) {
				return nil, fmt.Errorf("processor %d: %d ticks of %s", cpu, *columns[i], statColumns[i])
			}
			*column = time.Duration(*columns[i]) * Tick
		}
		perCPU[cpu] = spent
	}
	if len(perCPU) == 0 {
		return nil, errors.New("no processor in it")
	}
	return perCPU, nil
}

// cutCPU cuts a line that begins as "cpu0" does, and says whether it is one.
func cutCPU(line string) (cpu int, rest string, ok bool, err error) {
	head, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	number, ok := strings.CutPrefix(head, "cpu")
	if !ok || number == "" || number[0] < '0' || number[0] > '9' {
		return 0, "", false, nil
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > maxCPU {
		return 0, "", false, fmt.Errorf("line %q names no processor", short(line))
	}
	return int(n), rest, true, nil
}
