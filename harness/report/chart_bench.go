package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/loopcheck/loopcheck/bench"
)

const (
	// tailPoints are how many points a curve of percentiles has at most, and
	// tailStep how far they are apart on the tail axis: 40 for each nine.
	tailPoints = 200
	tailStep   = 1.0 / 40
	// tableBins are the rows of a distribution's table.
	tableBins = 24
)

// tailOf is where a percentile lies on the tail axis: each nine is as long as the
// one before, so that p90 lies at 1, p99 at 2 and p99.9 at 3.
func tailOf(percentile float64) float64 {
	const places = 1e4 // that an axis shows
	return math.Round(places*math.Log10(1/(1-percentile/100))) / places
}

// tailTicks are the percentiles that the tail axis names.
var tailTicks = func() (ticks []chartMark) {
	for _, p := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		ticks = append(ticks, chartMark{At: tailOf(p), Name: "p" + strconv.FormatFloat(p, 'f', -1, 64)})
	}
	return ticks
}()

// tailGrid are the points of all curves along the tail axis, and tailGridPercentiles
// the percentiles that they are.
var tailGrid, tailGridPercentiles = func() (at points, percentiles []float64) {
	for i := range tailPoints {
		x := float64(i) * tailStep
		at, percentiles = append(at, x), append(percentiles, 100*(1-math.Pow(10, -x)))
	}
	return at, percentiles
}()

// samplesBeyond are as many as have to lie beyond a percentile for it to be given:
// of those that the median takes, half.
var samplesBeyond = bench.SamplesFor("p50_ns") / 2

// histogramOf decodes a benchmark's histogram. It returns nil where there is none,
// or none that can be read: the percentiles still tell the figures.
func histogramOf(b bench.Result) *hdrhistogram.Histogram {
	if b.Histogram == "" {
		return nil
	}
	histogram, err := hdrhistogram.Decode([]byte(b.Histogram))
	if err != nil || histogram.TotalCount() == 0 {
		return nil
	}
	return histogram
}

// curveOf is the latency at each point of tailGrid, as far as the samples bear.
func curveOf(h *hdrhistogram.Histogram) points {
	curve := points{}
	bears := math.Log10(float64(h.TotalCount()) / float64(samplesBeyond))
	for i, ns := range h.ValueAtPercentilesSlice(tailGridPercentiles) {
		v := math.NaN()
		if tailGrid[i] <= bears {
			v = float64(ns)
		}
		curve = append(curve, v)
	}
	return curve
}

// curve is a benchmark's line in a chart of percentiles.
type curve struct {
	name   string
	result bench.Result
	line   points
}

// percentileChart draws curves; it is false where there are none.
func percentileChart(title string, curves []curve) (Chart, bool) {
	curves = slices.DeleteFunc(curves, func(c curve) bool {
		return !slices.ContainsFunc(c.line, func(v float64) bool { return !math.IsNaN(v) })
	})
	if len(curves) == 0 {
		return Chart{}, false
	}
	c := Chart{
		Title: title,
		Note:  fmt.Sprintf("A curve ends where fewer than %d samples lie beyond.", samplesBeyond),
		x:     axisForm{"percentile", axisTail, tailTicks}, y: axisForm{Name: "latency", Kind: axisLatency},
	}
	longest := 0
	var told []string
	for _, one := range curves {
		last := len(one.line)
		for math.IsNaN(one.line[last-1]) {
			last--
		}
		longest = max(longest, last)
		c.Lines = append(c.Lines, ChartLine{Name: one.name, points: one.line})
		told = append(told, fmt.Sprintf("%s p50 %s, p99 %s", one.name, medianCell(one.result), percentileCell("p99_ns")(one.result)))
	}
	c.at = tailGrid[:longest]
	for i := range c.Lines {
		c.Lines[i].points = c.Lines[i].points[:longest]
	}
	c.Lines = newLines(c.Lines...)
	c.Label = fmt.Sprintf("%s: latency by percentile, on an axis on which each nine is as long as the one before. %s.", title, some(told))
	return c, true
}

// percentileCharts has a chart for each placement.
func percentileCharts(views []benchmarkView) (charts []Chart) {
	var results []bench.Result
	curves := map[string]curve{}
	for _, v := range views {
		if v.distribution != nil && outcomeOf(v.Result) == nil {
			results = append(results, v.Result)
			curves[v.Name] = curve{v.Name, v.Result, curveOf(v.distribution.histogram)}
		}
	}
	for _, group := range byPlacement(results) {
		var of []curve
		for _, b := range group.Results {
			of = append(of, curves[b.Name])
		}
		if c, ok := percentileChart("Percentiles, "+string(group.Placement), of); ok {
			c.Note = "The figures are in the table above. " + c.Note
			charts = append(charts, c)
		}
	}
	return charts
}

// distributionChart is a histogram as bars, with percentiles and modes marked. It is
// nil where there is no histogram.
func distributionChart(d *distribution) *Chart {
	if d == nil {
		return nil
	}
	c := &Chart{
		Title: "Distribution", Label: d.Label, Still: d,
		Lines: []ChartLine{{Name: "samples", points: d.bins(plotBars)}},
		Table: &ChartTable{Columns: []string{"latency", "samples", "share"}},
		x:     axisForm{Name: "latency, logarithmic", Kind: axisLatency}, y: axisForm{Name: "samples", Kind: axisCount},
		bars: true,
	}
	for i := range plotBars {
		c.at = append(c.at, d.ns((float64(i)+0.5)/plotBars))
	}
	for _, p := range markedPercentiles {
		c.marks = append(c.marks, chartMark{At: float64(d.histogram.ValueAtPercentile(p)), Name: fmt.Sprintf("p%g", p)})
	}
	for _, ns := range d.modes {
		c.marks = append(c.marks, chartMark{At: ns, Name: "mode " + humanNS(ns), Mode: true})
	}
	for i, n := range d.bins(tableBins) {
		if n > 0 {
			c.Table.Rows = append(c.Table.Rows, []string{
				humanInterval(d.ns(float64(i)/tableBins), d.ns(float64(i+1)/tableBins)), grouped(strconv.FormatFloat(n, 'f', 0, 64)),
				share(n / float64(d.histogram.TotalCount())),
			})
		}
	}
	return c
}

// restartsChart is what restart after restart measured, with those marked that are
// tainted. It is nil where there are too few for a line.
func restartsChart(b bench.Result) *Chart {
	if len(b.Restarts) < 2 {
		return nil
	}
	c := &Chart{
		Title: "Restart by restart",
		Note:  "The figures are in the table below.",
		x:     axisForm{Name: "restart", Kind: axisRestart}, y: axisForm{Name: "latency", Kind: axisLatency},
	}
	var p50, p90, p99 points
	low, high := math.Inf(1), 0.0
	for i, r := range b.Restarts {
		c.at = append(c.at, float64(i+1))
		p50, p90, p99 = append(p50, positive(r.P50NS)), append(p90, positive(r.P90NS)), append(p99, positive(r.P99NS))
		low, high = min(low, r.P50NS), max(high, r.P50NS)
		if len(r.Taint) > 0 {
			c.taint = append(c.taint, chartMark{At: float64(i + 1), Name: strings.Join(r.Taint, ", ")})
		}
	}
	c.Lines = newLines(ChartLine{Name: "p50", points: p50}, ChartLine{Name: "p90", points: p90}, ChartLine{Name: "p99", points: p99})
	c.Label = fmt.Sprintf("Latency of %s one after the other: medians from %s to %s", count(len(b.Restarts), "restart"), humanNS(low), humanNS(high))
	if n := len(c.taint); n > 0 {
		c.Note = "Shaded restarts are tainted. " + c.Note
		c.Label += fmt.Sprintf(", %d tainted", n)
	}
	c.Label += "."
	return c
}

// positive is a latency that has a logarithm, or none.
func positive(ns float64) float64 {
	if ns > 0 {
		return ns
	}
	return math.NaN()
}

// sweepCharts has a chart for each curve of sizes, flows or rates.
func sweepCharts(results []bench.Result) (charts []Chart) {
	for _, s := range sweepsOf(results) {
		charts = append(charts, s.chart())
	}
	return charts
}

// chart draws a sweep along a logarithmic axis, on which back to back, which is no
// rate, has no place: it is in the table.
func (s sweep) chart() Chart {
	c := Chart{
		Title: fmt.Sprintf("Latency by %s: %s", s.by.name, s.what()),
		Table: &ChartTable{Columns: []string{s.by.name, "p50", "p90", "p99", "rate"}},
		x:     axisForm{Name: s.by.name + ", logarithmic", Kind: axisNamed}, y: axisForm{Name: "latency", Kind: axisLatency},
	}
	lines := newLines(ChartLine{Name: "p50"}, ChartLine{Name: "p90"}, ChartLine{Name: "p99"})
	var told []string
	for _, b := range s.results {
		label := s.by.label(b.Spec)
		c.Table.Rows = append(c.Table.Rows, []string{label, medianCell(b), percentileCell("p90_ns")(b), percentileCell("p99_ns")(b), rateCell(b)})
		told = append(told, label+" "+medianCell(b))
		if v := s.by.value(b.Spec); v > 0 {
			at := math.Log2(v)
			c.at, c.x.Ticks = append(c.at, at), append(c.x.Ticks, chartMark{At: at, Name: label})
			for i, ns := range []float64{cmp.Or(b.MedianNS, b.Percentiles["p50_ns"]), b.Percentiles["p90_ns"], b.Percentiles["p99_ns"]} {
				lines[i].points = append(lines[i].points, positive(ns))
			}
		}
	}
	c.Lines = lines
	c.Label = c.Title + ". Medians: " + some(told) + "."
	return c
}
