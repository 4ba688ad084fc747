package bench

import (
	"fmt"
	"math"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// Reasons for which a restart is not trusted.
const (
	// TaintSteal says that the hypervisor took processor time away.
	TaintSteal = "steal"
	// TaintPressure says that other processes used the benchmark's processors.
	TaintPressure = "cpu-pressure"
	// TaintPace says that the processor ran slower than lately, before the window and
	// after it: by its clock, or since another machine used the other thread of its core.
	TaintPace = "cpu-pace"
	// TaintGC says that the garbage collector ran, although it was off: the
	// process has a memory limit, or asked for a collection.
	TaintGC = "gc"
)

const (
	// maxSteal is the share of stolen processor time that a window may have. The
	// kernel counts it in ticks of 10 ms, of which the first may have been all but
	// over when the window began: it is not held against it.
	maxSteal = 0.01
	// maxOthers is the share of the benchmark's processors that other processes may
	// use; loops that are busy all the time took 0.25 of two and 0.33 of one at least.
	// countedInTicks is what the two counts, one in ticks, may be apart by.
	maxOthers      = 0.125
	countedInTicks = 2 * counters.Tick
)

// eachOnce lists reasons, each once.
func eachOnce(reasons []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(reasons))), ", ")
}

// surroundings is what is read before and after a window.
type surroundings struct {
	gc       uint64 // collections completed in this process
	allocs   uint64 // objects allocated in this process
	cpu      counters.CPU
	perCPU   counters.PerCPU   // nil where the system does not tell, as
	counters counters.Snapshot // is this
}

func observe() surroundings {
	told, _ := counters.Read()
	perCPU, _ := counters.ReadPerCPU()
	samples := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:objects"}}
	metrics.Read(samples)
	return surroundings{
		gc: samples[0].Value.Uint64(), allocs: samples[1].Value.Uint64(),
		cpu: counters.ReadCPU(), perCPU: perCPU, counters: told,
	}
}

// taint says why what lies between two readings is not to be trusted, if both ends
// used own processor time and could run on some processors, or on all where those
// are none. What the system does not tell cannot taint.
func (s surroundings) taint(after surroundings, own time.Duration, processors []int) (Loss, []string) {
	l := s.loss(after, own, processors)
	reasons := l.taint()
	if after.gc != s.gc {
		reasons = append(reasons, TaintGC)
	}
	return l, reasons
}

// loss is what a benchmark's processors did otherwise between two readings.
func (s surroundings) loss(after surroundings, own time.Duration, processors []int) Loss {
	var l Loss
	for cpu, passed := range after.perCPU.Sub(s.perCPU) {
		if len(processors) == 0 || slices.Contains(processors, cpu) {
			l.Counts++
			l.Stolen += passed.Steal
			l.Others += passed.User + passed.Nice + passed.System
		}
	}
	l.Available = after.cpu.At.Sub(s.cpu.At) * time.Duration(l.Counts)
	if l.Counts > 0 {
		l.Others -= own
	}
	return l
}

// Loss is time of a benchmark's processors that others had, counted in ticks (proc(5),
// /proc/stat): of one short window it is wrong by up to a tick or two.
type Loss struct {
	// Stolen is what the hypervisor kept, Others what other processes used. Where they
	// used less than the benchmark itself seems to have, it is below 0.
	Stolen time.Duration `json:"stolen_ns,omitempty"`
	Others time.Duration `json:"others_ns,omitempty"`
	// Available is the time of all the benchmark's processors together.
	Available time.Duration `json:"available_ns"`
	// Counts is how many readings of one processor it is the sum of.
	Counts int `json:"counts"`
}

func (l *Loss) add(other Loss) {
	l.Stolen += other.Stolen
	l.Others += other.Others
	l.Available += other.Available
	l.Counts += other.Counts
}

// taint says of one window why it is not to be trusted.
func (l Loss) taint() (reasons []string) {
	if float64(l.Stolen-counters.Tick) > maxSteal*float64(l.Available) {
		reasons = append(reasons, TaintSteal)
	}
	if float64(l.Others-countedInTicks) > maxOthers*float64(l.Available) {
		reasons = append(reasons, TaintPressure)
	}
	return reasons
}

// doubt says of many windows together why they are not to be trusted; empty where
// they are. What ticks hide of one short window they tell of many: a reading is wrong
// by as much in one direction as in the other.
func (l Loss) doubt() string {
	// The difference of two readings of a clock of ticks is wrong by up to one, with
	// a deviation of a tick divided by the root of six.
	margin := 3 * float64(counters.Tick) * math.Sqrt(float64(l.Counts)/6)
	for _, d := range []struct {
		lost  time.Duration
		most  float64
		whose string
	}{
		{l.Stolen, maxSteal, "the hypervisor kept"},
		{l.Others, maxOthers, "other processes used"},
	} {
		if lost, available := float64(d.lost), float64(l.Available); lost-margin > d.most*available {
			return fmt.Sprintf("%s %.0f %% of the processors' time in the restarts that count", d.whose, min(100, 100*lost/available))
		}
	}
	return ""
}

// surrounding is what was seen beside windows.
type surrounding struct {
	stealTime, pressureTime time.Duration // shares of the time, times the time
	pressureTold            bool
	collections, allocs     uint64
	moved                   map[string]int64
}

// between is what moved between two readings.
func (s surroundings) between(after surroundings) surrounding {
	share := after.cpu.Since(s.cpu)
	elapsed := after.cpu.At.Sub(s.cpu.At)
	seen := surrounding{
		stealTime:   time.Duration(share.Stolen * float64(elapsed)),
		collections: after.gc - s.gc, allocs: after.allocs - s.allocs,
		moved: map[string]int64{},
	}
	if share.Waited >= 0 {
		seen.pressureTold, seen.pressureTime = true, time.Duration(share.Waited*float64(elapsed))
	}
	if s.counters != nil && after.counters != nil {
		for group, values := range after.counters.Sub(s.counters) {
			for name, n := range values {
				if n != 0 {
					seen.moved[group+" "+name] = n
				}
			}
		}
	}
	return seen
}

func (s *surrounding) add(other surrounding) {
	s.stealTime += other.stealTime
	s.pressureTime += other.pressureTime
	s.pressureTold = s.pressureTold || other.pressureTold
	s.collections += other.collections
	s.allocs += other.allocs
	addTo(&s.moved, other.moved)
}
