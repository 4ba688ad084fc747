package compare

import (
	"fmt"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// benchmarkView is a benchmark as the page tells it.
type benchmarkView struct {
	Name     string
	Verdict  judge.Verdict
	State    check.State
	Restarts string
	Reason   string // why it is inconclusive
	InWords  string // what got worse, by how much
	Chance   string // how sure that is
	Metrics  []metricView
}

type metricView struct {
	Quantity           string
	Base, New          string
	Ratio, Interval, P string
	Verdict            judge.Verdict
	State              check.State
}

func benchmarkViewOf(b judge.Benchmark) benchmarkView {
	v := benchmarkView{Name: b.Name, Verdict: b.Verdict, State: stateOf(b.Verdict), Restarts: restarts(b), Reason: b.Reason}
	for _, m := range b.Metrics {
		v.Metrics = append(v.Metrics, metricViewOf(m))
	}
	if m := telling(b); m != nil {
		one := metricViewOf(*m)
		v.InWords = inWords(m)
		v.Chance = fmt.Sprintf("%s from %s to %s: ratio %s, 95 %% interval %s, p %s, %s.", one.Quantity, one.Base, one.New, one.Ratio, one.Interval, one.P, v.Restarts)
	}
	return v
}

func metricViewOf(m judge.Metric) metricView {
	return metricView{
		Quantity: m.Quantity.String(),
		Base:     report.Quantity(m.Quantity, m.Base.Median), New: report.Quantity(m.Quantity, m.New.Median),
		Ratio: fmt.Sprintf("%.3f", m.Ratio.Value), Interval: interval(m), P: probability(m.AdjustedP),
		Verdict: m.Verdict, State: stateOf(m.Verdict),
	}
}

// overlayView is a benchmark with both sides over each other.
type overlayView struct {
	Name    string
	Verdict judge.Verdict
	State   check.State
	Open    bool
	Charts  []report.Chart
}

// draw makes the charts of the benchmarks, the worst first.
func (v *comparisonView) draw() {
	for _, b := range v.Benchmarks {
		pair, there := v.pairs[b.Name]
		if !there {
			continue
		}
		if len(v.Overlays) == drawn {
			v.Undrawn = drawn
			break
		}
		pair = *report.HarmlessCopy(&pair)
		if charts := report.Overlay(pair.Base, pair.New); len(charts) > 0 {
			v.Overlays = append(v.Overlays, overlayView{Name: b.Name, Verdict: b.Verdict, State: stateOf(b.Verdict), Charts: charts})
		}
	}
	for i := range v.Overlays {
		v.Overlays[i].Open = len(v.Overlays) <= openPlots
	}
}

// keep remembers what was measured of each benchmark, for the charts.
func (c *Comparison) keep(pairs ...judge.Pair) {
	if c.pairs == nil {
		c.pairs = map[string]judge.Pair{}
	}
	for _, p := range pairs {
		c.pairs[terminal.Harmless(p.New.Name)] = p
	}
}

// sidesOf are the two sides of what was measured in turns, as results.
func sidesOf(c bench.Comparison) judge.Pair {
	of := func(s bench.Compared) bench.Result { return bench.Result{Name: s.Name, Restarts: s.Restarts} }
	return judge.Pair{Base: of(c.Sides[0]), New: of(c.Sides[1])}
}
