package history

import (
	"maps"
	"slices"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
)

// benchmarkTrend is the median of one benchmark on one machine, run by run.
type benchmarkTrend struct {
	Name         string
	Runs         []*Run // those that measured it
	MediansNS    []float64
	Inconclusive int // runs whose figure is not to be trusted; they are not in Runs
	Changes      []Change
}

// checkTrend is the state of one check on one machine, in stretches of runs.
type checkTrend struct {
	ID, Title string
	Stretches []stretch
	Runs      int
}

// stretch is runs in a row with the same state.
type stretch struct {
	State    check.State
	From, To *Run
	N        int
}

// benchmarksOf are the trends of a machine's benchmarks by name, without changes.
func benchmarksOf(runs []*Run) []benchmarkTrend {
	found := map[string]*benchmarkTrend{}
	for _, run := range runs {
		for _, b := range run.Benchmarks {
			trend := found[b.Name]
			if trend == nil {
				trend = &benchmarkTrend{Name: b.Name}
				found[b.Name] = trend
			}
			if b.Inconclusive {
				trend.Inconclusive++
				continue
			}
			trend.Runs = append(trend.Runs, run)
			trend.MediansNS = append(trend.MediansNS, b.NS)
		}
	}
	var trends []benchmarkTrend
	for _, name := range slices.Sorted(maps.Keys(found)) {
		trends = append(trends, *found[name])
	}
	return trends
}

// checksOf are the trends of a machine's checks in the order of the newest run that
// asked each. Runs that did not ask a check, or were stopped before, say nothing
// of it.
func checksOf(runs []*Run) (trends []checkTrend) {
	index := map[string]int{}
	for _, run := range slices.Backward(runs) {
		for _, c := range run.Checks {
			if _, known := index[c.ID]; !known {
				index[c.ID] = len(trends)
				trends = append(trends, checkTrend{ID: c.ID, Title: c.Title})
			}
		}
	}
	for _, run := range runs {
		for _, c := range run.Checks {
			if c.State == check.Interrupted {
				continue
			}
			t := &trends[index[c.ID]]
			t.Runs++
			if n := len(t.Stretches); n == 0 || t.Stretches[n-1].State != c.State {
				t.Stretches = append(t.Stretches, stretch{State: c.State, From: run})
			}
			last := &t.Stretches[len(t.Stretches)-1]
			last.To = run
			last.N++
		}
	}
	return trends
}

// machineTrends is what became of one machine.
type machineTrends struct {
	report.Machine
	Runs       []*Run
	Benchmarks []benchmarkTrend
	Changed    []checkTrend // checks whose state was not always the same
	Steady     []checkTrend // the others
}

// trends are those of each machine. The change points of all benchmarks are one
// family of tests.
func (h *History) trends() []machineTrends {
	var all []machineTrends
	var series [][]float64
	of := map[report.Machine][]*Run{}
	for _, run := range h.Runs {
		of[run.Machine] = append(of[run.Machine], run)
	}
	for _, m := range h.machines() {
		t := machineTrends{Machine: m, Runs: of[m], Benchmarks: benchmarksOf(of[m])}
		for _, c := range checksOf(of[m]) {
			if len(c.Stretches) > 1 {
				t.Changed = append(t.Changed, c)
			} else if len(c.Stretches) == 1 {
				t.Steady = append(t.Steady, c)
			}
		}
		for _, b := range t.Benchmarks {
			series = append(series, b.MediansNS)
		}
		all = append(all, t)
	}
	changes := Changes(series)
	for i := range all {
		for j := range all[i].Benchmarks {
			all[i].Benchmarks[j].Changes, changes = changes[0], changes[1:]
		}
	}
	return all
}
