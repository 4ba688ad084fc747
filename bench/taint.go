package bench

import (
	"runtime/metrics"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// Reasons for which a restart is not trusted.
const (
	// TaintSteal says that the hypervisor took processor time away.
	TaintSteal = "steal"
	// TaintPressure says that other processes used the benchmark's processors.
	TaintPressure = "cpu-pressure"
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
func (s surroundings) taint(after surroundings, own time.Duration, processors []int) []string {
	took := s.taken(after, own, processors)
	available := float64(after.cpu.At.Sub(s.cpu.At)) * float64(took.processors)
	var reasons []string
	if float64(took.stolen-counters.Tick) > maxSteal*available {
		reasons = append(reasons, TaintSteal)
	}
	if float64(took.others-countedInTicks) > maxOthers*available {
		reasons = append(reasons, TaintPressure)
	}
	if after.gc != s.gc {
		reasons = append(reasons, TaintGC)
	}
	return reasons
}

// taken is what processors did for others than the benchmark, added up.
type taken struct {
	processors int           // of which it is told
	stolen     time.Duration // that the hypervisor kept them
	others     time.Duration // that other processes used; below 0 by what ticks are off
}

// taken is what was taken between two readings from some processors, or from all
// where those are none, if both ends used own processor time.
func (s surroundings) taken(after surroundings, own time.Duration, processors []int) taken {
	took := taken{others: -own}
	for cpu, passed := range after.perCPU.Sub(s.perCPU) {
		if len(processors) == 0 || slices.Contains(processors, cpu) {
			took.processors++
			took.stolen += passed.Steal
			took.others += passed.User + passed.Nice + passed.System
		}
	}
	return took
}

// surrounding is what was seen beside windows.
type surrounding struct {
	takenTime               time.Duration // from the benchmark's processors, added up
	takenTold               bool
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
	s.takenTime += other.takenTime
	s.takenTold = s.takenTold || other.takenTold
	s.pressureTold = s.pressureTold || other.pressureTold
	s.collections += other.collections
	s.allocs += other.allocs
	addTo(&s.moved, other.moved)
}
