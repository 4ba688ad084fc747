package bench

import (
	"runtime/metrics"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// Reasons for which a restart is not trusted.
const (
	// TaintSteal says that the hypervisor took processor time away.
	TaintSteal = "steal"
	// TaintPressure says that tasks waited for a processor longer than the
	// benchmark itself makes them wait.
	TaintPressure = "cpu-pressure"
	// TaintGC says that the garbage collector ran, although it was off: the
	// process has a memory limit, or asked for a collection.
	TaintGC = "gc"
)

const (
	// maxSteal is the share of stolen processor time that a window may have.
	// The kernel counts steal in ticks of 10 ms: in a window of 150 ms on two
	// processors a single tick is above it, on a hundred processors it takes
	// fifteen.
	maxSteal = 0.01
	// maxPressure is the share of a window in which some task, of whatever
	// process, may have waited for a processor. The benchmark alone came to at
	// most 0.1 on two processors, and to 0.5 and more as soon as one busy loop
	// ran beside it.
	maxPressure = 0.25
)

// surroundings is what is read before and after a window.
type surroundings struct {
	gc  uint64 // collections completed in this process
	cpu counters.CPU
}

func observe() surroundings {
	cycles := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(cycles)
	return surroundings{gc: cycles[0].Value.Uint64(), cpu: counters.ReadCPU()}
}

// taint says why what lies between two readings is not to be trusted. What the
// system does not tell cannot taint.
func (s surroundings) taint(after surroundings) []string {
	share := after.cpu.Since(s.cpu)
	var reasons []string
	if share.Stolen > maxSteal {
		reasons = append(reasons, TaintSteal)
	}
	if share.Waited > maxPressure {
		reasons = append(reasons, TaintPressure)
	}
	if after.gc != s.gc {
		reasons = append(reasons, TaintGC)
	}
	return reasons
}
