package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// sweep is benchmarks that differ in one thing alone.
type sweep struct {
	by      axis
	of      bench.Spec // without it
	results []bench.Result
}

// leastOfSweep is how many values make a curve.
const leastOfSweep = 3

// axis is what may be swept.
type axis struct {
	name    string
	value   func(bench.Spec) float64
	without func(*bench.Spec)
	label   func(bench.Spec) string
}

var axes = []axis{
	{"size", func(s bench.Spec) float64 { return float64(s.SizeBytes) }, func(s *bench.Spec) { s.SizeBytes = 0 }, func(s bench.Spec) string { return humanSize(s.SizeBytes) }},
	{"flows", func(s bench.Spec) float64 { return float64(s.Flows) }, func(s *bench.Spec) { s.Flows = 0 }, func(s bench.Spec) string { return count(s.Flows, "flow") }},
	{"rate", func(s bench.Spec) float64 { return s.RateHz }, func(s *bench.Spec) { s.RateHz = 0 }, rateLabel},
}

func rateLabel(s bench.Spec) string {
	if s.RateHz == 0 {
		return "back to back"
	}
	return humanRate(s.RateHz)
}

// sweepsOf finds the benchmarks that make curves.
func sweepsOf(results []bench.Result) []sweep {
	var found []sweep
	for _, by := range axes {
		first := len(found)
		for _, b := range results {
			if outcomeOf(b) != nil {
				continue
			}
			rest := b.Spec
			by.without(&rest)
			i := slices.IndexFunc(found[first:], func(s sweep) bool { return s.of == rest })
			if i < 0 {
				i = len(found) - first
				found = append(found, sweep{by: by, of: rest})
			}
			found[first+i].results = append(found[first+i].results, b)
		}
		for i := range found[first:] {
			slices.SortStableFunc(found[first+i].results, func(a, b bench.Result) int {
				return cmp.Compare(by.value(a.Spec), by.value(b.Spec))
			})
		}
	}
	return slices.DeleteFunc(found, func(s sweep) bool { return len(s.results) < leastOfSweep })
}

// what says what of all of it is the same.
func (s sweep) what() string {
	return fmt.Sprintf("%s %s, %s, %s", s.of.Transport, s.of.Op, s.of.Engine, s.of.Placement)
}

// sweeps draws a curve for each: medians as bars, from 0.
func (p *printout) sweeps(results []bench.Result) {
	for _, s := range sweepsOf(results) {
		p.line()
		p.line(p.paint(faint, fmt.Sprintf("p50 by %s: %s", s.by.name, s.what())))
		width, highest := 0, 0.0
		for _, b := range s.results {
			width = max(width, terminal.Columns(s.by.label(b.Spec)))
			highest = max(highest, b.MedianNS)
		}
		const figures = 10 + 10 + 13
		room := p.style.Width - 2 - width - 2 - figures
		for _, b := range s.results {
			bar := ""
			if b.MedianNS > 0 {
				bar = strings.Repeat("█", max(1, int(float64(room)*b.MedianNS/highest)))
			}
			p.line("  ", terminal.PadLeft(s.by.label(b.Spec), width), "  ", p.paint(cyan, terminal.PadRight(bar, room)),
				terminal.PadLeft(medianCell(b), 10), terminal.PadLeft(percentileCell("p99_ns")(b), 10), terminal.PadLeft(rateCell(b), 13))
		}
	}
}
