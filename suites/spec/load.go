package spec

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// Load tells whether the machine had a processor to spare since a moment.
type Load struct{ start counters.CPU }

// StartLoad begins to look at the machine's load.
func StartLoad() Load { return Load{counters.ReadCPU()} }

// Starved says whether the machine was short of processor time since the
// start, and in which figures (Documentation/accounting/psi.rst; proc_stat(5),
// steal).
func (l Load) Starved() (how string, starved bool) {
	return isStarved(counters.ReadCPU().Since(l.start))
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
func isStarved(share counters.CPUShare) (how string, starved bool) {
	how = fmt.Sprintf("tasks waited for a processor %.0f %% of the time and %.0f %% was stolen by the hypervisor", 100*max(0, share.Waited), 100*share.Stolen)
	return how, share.Waited >= 0.5 || share.Stolen >= 0.1
}
