package host

import (
	"time"

	"github.com/loopcheck/loopcheck/probe/clock"
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
	overhead := clock.PairCost()
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
