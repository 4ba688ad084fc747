package host

import (
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// Meter observes the noise of the machine between two moments.
type Meter struct {
	before        counters.CPU
	timerOverhead time.Duration
}

// StartNoise begins to observe. Before that it measures what reading the clock
// costs, which takes less than a millisecond.
func StartNoise() *Meter {
	overhead := timerOverhead()
	return &Meter{before: counters.ReadCPU(), timerOverhead: overhead}
}

// Stop returns what was observed since the start. It may be called again, for
// a longer stretch. What the system does not tell stays zero, but for the CPU
// pressure, which is -1 then.
func (m *Meter) Stop() Noise {
	share := counters.ReadCPU().Since(m.before)
	return Noise{
		Steal:           share.Stolen,
		PSICPU:          share.Waited,
		Load:            loadAverage(),
		ContextSwitches: share.ContextSwitches,
		ClockSource:     clockSource(),
		TimerOverheadNS: float64(m.timerOverhead) / float64(time.Nanosecond),
	}
}

const (
	// A pair of readings costs some tens of nanoseconds, about as much as the
	// clock resolves on some machines: many are timed at once.
	timerPairs = 32
	// The median of this many batches shrugs off those that an interrupt hit.
	timerBatches = 51
	// timerBudget bounds the measurement where a reading costs microseconds,
	// as it does with the hpet and acpi_pm clock sources.
	timerBudget = 300 * time.Microsecond
)

// timerOverhead is the median cost of reading the clock before and after
// something, in the way that latency is taken.
func timerOverhead() time.Duration {
	var costs [timerBatches]float64
	taken := 0
	began := time.Now()
	for taken < timerBatches && (taken == 0 || time.Since(began) < timerBudget) {
		batch := time.Now()
		for range timerPairs {
			start := time.Now()
			_ = time.Since(start)
		}
		costs[taken] = float64(time.Since(batch)) / timerPairs
		taken++
	}
	slices.Sort(costs[:taken])
	return time.Duration(costs[taken/2])
}
