package spec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// Load tells whether the machine had a processor to spare since a moment.
type Load struct {
	start    time.Time
	pressure counters.Pressure
	stat     counters.Stat
}

// StartLoad begins to look at the machine's load.
func StartLoad() Load {
	// What cannot be read stays zero and then excuses nothing.
	pressure, _ := counters.ReadCPUPressure()
	stat, _ := counters.ReadStat()
	return Load{start: time.Now(), pressure: pressure, stat: stat}
}

// Starved says whether the machine was short of processor time since the
// start, and in which figures (Documentation/accounting/psi.rst; proc_stat(5),
// steal).
func (l Load) Starved() (how string, starved bool) {
	now := StartLoad()
	return isStarved(now.start.Sub(l.start), now.pressure.Sub(l.pressure), now.stat.Sub(l.stat))
}

// ExcuseTimeout ends the spec as inconclusive where the error is that of a
// time limit which ran out on a machine that was starved since the start. Any
// other error, and any other machine, it leaves to the spec's assertions.
func (l Load) ExcuseTimeout(err error) {
	ginkgo.GinkgoHelper()
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	if how, starved := l.Starved(); starved {
		Inconclusive("%v, but %s", err, how)
	}
}

// isStarved says whether tasks stood in line for a processor at least half of
// the time, or a hypervisor took a tenth of it.
func isStarved(elapsed time.Duration, pressure counters.Pressure, stat counters.Stat) (how string, starved bool) {
	waited := float64(pressure.Some) / float64(elapsed)
	stolen := stat.StealShare()
	how = fmt.Sprintf("tasks waited for a processor %.0f %% of the time and %.0f %% was stolen by the hypervisor", 100*waited, 100*stolen)
	return how, waited >= 0.5 || stolen >= 0.1
}
