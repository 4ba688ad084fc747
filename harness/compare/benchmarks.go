package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/judge"
)

// verdicts are the judge's, the worst first.
var verdicts = []judge.Verdict{judge.Regression, judge.Inconclusive, judge.Improvement, judge.NoChange}

// Figures beyond these no machine measures: what holds them was not written by a
// benchmark, and their ratios would be no numbers.
const (
	leastFigure = 1e-30
	mostFigure  = 1e30
)

// maxRestarts is how many restarts of a side are compared, the last ones. The judge
// draws all of them thousands of times, which takes a second of so many.
const maxRestarts = 1000

// pairsOf are the benchmarks that both sides measured, in the order of the new, and
// why others are not compared.
func pairsOf(base, after []bench.Result) (pairs []judge.Pair, left []NotCompared) {
	left = []NotCompared{}
	leave := func(name, format string, args ...any) {
		left = append(left, NotCompared{name, fmt.Sprintf(format, args...)})
	}
	before, now := byName(base), byName(after)
	seen := map[string]bool{}
	for _, r := range after {
		was, had := before[r.Name]
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		if !had {
			leave(r.Name, "only in the new%s", nearest("the base", r, base))
			continue
		}
		if reason := unfit(was, r); reason != "" {
			leave(r.Name, "%s", reason)
			continue
		}
		pairs = append(pairs, judge.Pair{Base: last(was), New: last(r)})
	}
	for _, r := range base {
		if _, has := now[r.Name]; !has && !seen[r.Name] {
			seen[r.Name] = true
			leave(r.Name, "only in the base%s", nearest("the new", r, after))
		}
	}
	return pairs, left
}

func byName(results []bench.Result) map[string]bench.Result {
	all := map[string]bench.Result{}
	for _, r := range results {
		if _, twice := all[r.Name]; !twice {
			all[r.Name] = r
		}
	}
	return all
}

// unfit says why two results of one name cannot be compared; it is empty where they
// can.
func unfit(base, after bench.Result) string {
	for _, side := range []struct {
		name   string
		result bench.Result
	}{{"base", base}, {"new", after}} {
		switch r := side.result; {
		case r.Skipped != "":
			return fmt.Sprintf("skipped in the %s: %s", side.name, r.Skipped)
		case len(r.Restarts) == 0:
			return fmt.Sprintf("not measured in the %s", side.name)
		case slices.ContainsFunc(r.Restarts, impossible):
			return fmt.Sprintf("of figures in the %s that no machine measures", side.name)
		}
	}
	return ""
}

func impossible(r bench.Restart) bool {
	figures := []float64{r.P98NS, r.P995NS}
	for _, q := range judge.Quantities {
		figures = append(figures, q.Of(r))
	}
	return slices.ContainsFunc(figures, func(v float64) bool { return v != 0 && !(v >= leastFigure && v <= mostFigure) })
}

func last(r bench.Result) bench.Result {
	r.Restarts = r.Restarts[max(0, len(r.Restarts)-maxRestarts):]
	return r
}

// nearest tells of a benchmark of the other side that is otherwise in one thing
// alone.
func nearest(side string, of bench.Result, others []bench.Result) string {
	for _, o := range others {
		var differs []string
		for _, one := range []struct {
			what string
			same bool
		}{
			{"transport", of.Transport == o.Transport},
			{"operation", of.Op == o.Op},
			{"engine", of.Engine == o.Engine},
			{"placement", of.Placement == o.Placement},
			{"size", of.SizeBytes == o.SizeBytes},
			{"number of flows", of.Flows == o.Flows},
			{"number of outstanding requests", of.Outstanding == o.Outstanding},
			{"rate", of.RateHz == o.RateHz},
		} {
			if !one.same {
				differs = append(differs, one.what)
			}
		}
		if len(differs) == 1 && differs[0] != "transport" {
			return fmt.Sprintf("; %s has %s, of another %s", side, o.Name, differs[0])
		}
	}
	return ""
}

// judged takes up the benchmarks, and draws the verdict of the whole.
func (c *Comparison) judged(all []judge.Benchmark) {
	c.Benchmarks = append([]judge.Benchmark{}, all...)
	for i := range c.Benchmarks {
		if c.Benchmarks[i].Metrics == nil {
			c.Benchmarks[i].Metrics = []judge.Metric{}
		}
	}
	slices.SortStableFunc(c.Benchmarks, func(a, b judge.Benchmark) int {
		return cmp.Or(
			cmp.Compare(slices.Index(verdicts, a.Verdict), slices.Index(verdicts, b.Verdict)),
			cmp.Compare(effect(b), effect(a)),
		)
	})
	c.Verdict = judge.NoChange
	if len(c.Benchmarks) > 0 {
		c.Verdict = c.Benchmarks[0].Verdict
	}
	if slices.ContainsFunc(c.Checks, CheckChange.Fails) {
		c.Verdict = judge.Regression
	}
}

// telling is the first metric that has the verdict of its benchmark; nil where none
// has.
func telling(b judge.Benchmark) *judge.Metric {
	i := slices.IndexFunc(b.Metrics, func(m judge.Metric) bool { return m.Verdict == b.Verdict })
	if i < 0 {
		return nil
	}
	return &b.Metrics[i]
}

// effect is by how much a benchmark got worse: that of the metric that did most, or,
// of one that got better, of the one that did most.
func effect(b judge.Benchmark) float64 {
	worst := 0.0
	for _, m := range b.Metrics {
		if m.Verdict == b.Verdict && math.Abs(m.Worse()) > math.Abs(worst) {
			worst = m.Worse()
		}
	}
	return worst
}
