package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// notGiven stands for a figure that there is not.
const notGiven = "–"

// benchColumn is a figure of a benchmark.
type benchColumn struct {
	Name string
	// width is that on a terminal; 0 leaves the figure to the page.
	width int
	Cell  func(bench.Result) string
}

// benchColumns are those of the terminal and of the page, in order.
var benchColumns = []benchColumn{
	{"p50", 9, medianCell},
	{"±", 7, uncertaintyCell},
	{"p99", 9, percentileCell("p99_ns")},
	{"p99.9", 9, percentileCell("p99.9_ns")},
	{"p99.99", 9, percentileCell("p99.99_ns")},
	{"rate", 12, rateCell},
	{"CPU/op", 9, func(b bench.Result) string { return humanNS(b.CPUNSPerOp) }},
	{"switches", 10, switchesCell},
	{"p50, 95 % CI", 0, func(b bench.Result) string { return humanInterval(b.CI95.LowNS, b.CI95.HighNS) }},
	{"p90", 0, percentileCell("p90_ns")},
	{"max", 0, percentileCell("max_ns")},
	{"mean", 0, func(b bench.Result) string { return humanNS(b.MeanNS) }},
}

func percentileCell(key string) func(bench.Result) string {
	return func(b bench.Result) string {
		if v, given := b.Percentiles[key]; given {
			return humanNS(v)
		}
		return notGiven
	}
}

// medianCell is the median over restarts, which the interval is of.
func medianCell(b bench.Result) string {
	if b.MedianNS > 0 && b.Percentiles["p50_ns"] > 0 {
		return humanNS(b.MedianNS)
	}
	return percentileCell("p50_ns")(b) // of a report of before
}

// uncertaintyCell is how far the median may be off, where the restarts suffice to
// say so.
func uncertaintyCell(b bench.Result) string {
	u := b.Uncertainty()
	if math.IsInf(u, 0) {
		return notGiven
	}
	if u >= 0.0995 {
		return fmt.Sprintf("±%.0f %%", u*100)
	}
	return fmt.Sprintf("±%.1f %%", u*100)
}

// rateCell is bytes for a stream, and operations for all else.
func rateCell(b bench.Result) string {
	if b.BytesPerS > 0 {
		return humanBytesRate(b.BytesPerS)
	}
	return humanRate(b.RatePerS)
}

func switchesCell(b bench.Result) string {
	if !observed(b) {
		return notGiven
	}
	return figure(b.Conditions.VoluntaryPerOp + b.Conditions.InvoluntaryPerOp)
}

// observed says whether there is anything seen beside a benchmark. In reports of
// before it was looked at there is not; since then the clock costs something.
func observed(b bench.Result) bool { return b.Conditions.ClockNS > 0 }

// outcome is what became of a benchmark without figures to be told.
type outcome struct {
	State check.State
	Word  string
	Why   string
}

// outcomeOf is nil where there are figures. One that is inconclusive has some, but
// they are no answer: they stand in the JSON form.
func outcomeOf(b bench.Result) *outcome {
	switch {
	case b.Skipped != "":
		return &outcome{check.Skip, "skipped", strings.ReplaceAll(b.Skipped, "\n", "; ")} // of errors that are joined
	case b.Count == 0:
		return &outcome{check.Interrupted, "not measured", "it ended before the first restart was over"}
	case b.Inconclusive != "":
		return &outcome{check.Inconclusive, "inconclusive", b.Inconclusive}
	}
	return nil
}

// placed are the benchmarks of one placement.
type placed struct {
	Placement topology.Placement
	Results   []bench.Result
}

// byPlacement keeps apart what ran on processors that lie otherwise, in the order
// of topology.Asked.
func byPlacement(results []bench.Result) []placed {
	var groups []placed
	for _, b := range results {
		i := slices.IndexFunc(groups, func(g placed) bool { return g.Placement == b.Placement })
		if i < 0 {
			i = len(groups)
			groups = append(groups, placed{Placement: b.Placement})
		}
		groups[i].Results = append(groups[i].Results, b)
	}
	rank := func(g placed) int {
		if i := slices.Index(topology.Asked, g.Placement); i >= 0 {
			return i
		}
		return len(topology.Asked)
	}
	slices.SortStableFunc(groups, func(a, b placed) int { return cmp.Compare(rank(a), rank(b)) })
	return groups
}

// sparkWidth is how many bars a distribution has beside a name, sparkLeast how
// many it takes to see a form.
const sparkWidth, sparkLeast = 24, 8

// benchmarks puts two lines for each benchmark, its name and its figures, and
// below what makes these worth less.
func (p *printout) benchmarks(results []bench.Result) {
	if len(results) == 0 {
		return
	}
	const indent = "  "
	head := indent
	for _, c := range benchColumns {
		if c.width > 0 {
			head += terminal.PadLeft(c.Name, c.width)
		}
	}
	p.line()
	label := "distribution, logarithmic"
	p.line(p.paint(faint, terminal.PadRight("benchmark", p.style.Width-terminal.Columns(label))+label))
	p.line(p.paint(faint, head))
	for i, group := range byPlacement(results) {
		if i > 0 {
			p.line()
		}
		for _, b := range group.Results {
			p.benchmark(b, indent)
		}
	}
}

func (p *printout) benchmark(b bench.Result, indent string) {
	name := terminal.Shorten(oneLine(b.Name), p.style.Width)
	o := outcomeOf(b)
	if o != nil {
		p.line(name)
		p.block(len(indent), stateInk[o.State], o.Word+": "+oneLine(o.Why))
	} else {
		p.line(name, p.spark(b, p.style.Width-terminal.Columns(name)))
		row := indent
		for _, c := range benchColumns {
			if c.width > 0 {
				row += terminal.PadLeft(c.Cell(b), c.width)
			}
		}
		p.line(row)
	}
	for _, n := range benchNotes(b) {
		p.block(len(indent), n.ink(), n.Text)
	}
}

// spark draws the distribution at the end of a line with that much room.
func (p *printout) spark(b bench.Result, room int) string {
	d := distributionOf(b)
	if d == nil {
		return ""
	}
	ends := " " + d.Low + "–" + d.High
	bars := min(sparkWidth, room-2-terminal.Columns(ends))
	if bars < sparkLeast {
		return ""
	}
	drawn := sparkline(d.bins(bars))
	return strings.Repeat(" ", room-terminal.Columns(drawn+ends)) + p.paint(cyan, drawn) + p.paint(faint, ends)
}

// sparkline draws counts as bars of up to eight eighths. What is not zero is seen.
func sparkline(counts []float64) string {
	const eighths = "▁▂▃▄▅▆▇█"
	bars := []rune(eighths)
	highest := slices.Max(counts)
	var b strings.Builder
	for _, n := range counts {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(bars[min(int(n/highest*float64(len(bars))), len(bars)-1)])
	}
	return b.String()
}

// humanSize is a number of bytes in the unit that divides it.
func humanSize(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
