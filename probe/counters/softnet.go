package counters

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Softnet tells what each processor did with packets that arrived, over lo
// too, in every network namespace together. A packet sent over lo is received
// by the processor that sent it, unless packet steering moves it.
//
// Source: proc_net(5), Documentation/networking/scaling.rst, admin-guide/sysctl/net.rst.
type Softnet struct {
	// PerCPU is by processor number where Numbered says so, otherwise by row:
	// the first of the processors that are online, the second, and so on.
	PerCPU map[int]SoftnetCPU
	// Columns is how many the kernel prints: 11 up to Linux 5.9, 13 from 5.10.
	Columns int
}

// SoftnetCPU is what one processor counted, in 32 bits: a difference is right
// as long as less than 2³² came in between.
type SoftnetCPU struct {
	Processed uint32 // packets given to the protocols
	Dropped   uint32 // packets for which the backlog had no room (net.core.netdev_max_backlog)
	// TimeSqueezed counts the turns that ended with work left to do, because
	// their budget was used up (net.core.netdev_budget, netdev_budget_usecs).
	TimeSqueezed uint32
	ReceivedRPS  uint32 // times another processor woke this one to receive packets
	FlowLimited  uint32 // packets dropped because their flow filled the backlog
	// Backlog is the packets that wait now; in a difference it may be negative.
	// It is 0 where Numbered is false.
	Backlog int64
}

// Columns of a row. Those from three to eight have no meaning any more.
const (
	columnProcessed = iota
	columnDropped
	columnTimeSqueezed
	columnReceivedRPS = iota + 6
	columnFlowLimited
	columnBacklog
	columnCPU

	softnetLeast    = columnFlowLimited + 1
	softnetNumbered = columnCPU + 1
)

// Numbered says whether the kernel told the processors' numbers and backlogs,
// which it does from Linux 5.10.
func (s Softnet) Numbered() bool { return s.Columns >= softnetNumbered }

// ReadSoftnet reads the counters of the processors that are online.
func ReadSoftnet() (Softnet, error) {
	return readAs("packet counters of processors", procNet+"softnet_stat", parseSoftnet)
}

// Sub returns what was counted since an earlier reading. A processor that was
// not online at both is left out; where rows have no numbers and one came or
// went, all are, since nothing tells which it was.
func (s Softnet) Sub(earlier Softnet) Softnet {
	diff := Softnet{PerCPU: map[int]SoftnetCPU{}, Columns: min(s.Columns, earlier.Columns)}
	if !diff.Numbered() && len(s.PerCPU) != len(earlier.PerCPU) {
		return diff
	}
	for cpu, now := range s.PerCPU {
		was, ok := earlier.PerCPU[cpu]
		if !ok {
			continue
		}
		diff.PerCPU[cpu] = SoftnetCPU{
			Processed:    now.Processed - was.Processed,
			Dropped:      now.Dropped - was.Dropped,
			TimeSqueezed: now.TimeSqueezed - was.TimeSqueezed,
			ReceivedRPS:  now.ReceivedRPS - was.ReceivedRPS,
			FlowLimited:  now.FlowLimited - was.FlowLimited,
			Backlog:      now.Backlog - was.Backlog,
		}
	}
	return diff
}

// String lists what is not zero, such as "cpu1 (processed 4, dropped 1)", with
// "row1" where the processors' numbers are not known.
func (s Softnet) String() string {
	name := "cpu%d"
	if !s.Numbered() {
		name = "row%d"
	}
	var l list
	for _, cpu := range slices.Sorted(maps.Keys(s.PerCPU)) {
		l.addGroup(fmt.Sprintf(name, cpu), s.PerCPU[cpu])
	}
	return l.String()
}

// String lists what is not zero, such as "processed 4, dropped 1".
func (c SoftnetCPU) String() string {
	var l list
	add(&l, "processed", c.Processed)
	add(&l, "dropped", c.Dropped)
	add(&l, "time_squeeze", c.TimeSqueezed)
	add(&l, "received_rps", c.ReceivedRPS)
	add(&l, "flow_limit_count", c.FlowLimited)
	add(&l, "backlog_len", c.Backlog)
	return l.String()
}

func parseSoftnet(text string) (Softnet, error) {
	s := Softnet{PerCPU: map[int]SoftnetCPU{}}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(s.PerCPU) == 0 {
			s.Columns = len(fields)
		}
		if len(fields) != s.Columns || s.Columns < softnetLeast {
			return Softnet{}, fmt.Errorf("row %q has %d columns, want one number of them everywhere, at least %d", short(line), len(fields), softnetLeast)
		}
		cpu, row, err := parseSoftnetRow(fields)
		if err != nil {
			return Softnet{}, fmt.Errorf("row %q: %w", short(line), err)
		}
		if !s.Numbered() {
			cpu = len(s.PerCPU)
		}
		if _, twice := s.PerCPU[cpu]; twice {
			return Softnet{}, fmt.Errorf("two rows of processor %d", cpu)
		}
		s.PerCPU[cpu] = row
	}
	if len(s.PerCPU) == 0 {
		return Softnet{}, errors.New("no row in it")
	}
	return s, nil
}

func parseSoftnetRow(fields []string) (cpu int, row SoftnetCPU, err error) {
	values := make([]uint32, len(fields))
	for i, field := range fields {
		value, err := strconv.ParseUint(field, 16, 32)
		if err != nil {
			return 0, SoftnetCPU{}, err
		}
		values[i] = uint32(value)
	}
	row = SoftnetCPU{
		Processed:    values[columnProcessed],
		Dropped:      values[columnDropped],
		TimeSqueezed: values[columnTimeSqueezed],
		ReceivedRPS:  values[columnReceivedRPS],
		FlowLimited:  values[columnFlowLimited],
	}
	if len(values) >= softnetNumbered {
		if values[columnCPU] > maxCPU {
			return 0, SoftnetCPU{}, fmt.Errorf("processor number %d", values[columnCPU])
		}
		cpu, row.Backlog = int(values[columnCPU]), int64(values[columnBacklog])
	}
	return cpu, row, nil
}
