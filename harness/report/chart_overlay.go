package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/loopcheck/loopcheck/bench"
)

// overlayRestarts is how many restarts of a side a chart shows, the last ones: all
// of them are in the JSON form.
const overlayRestarts = 100

// Overlay draws two measurements of one benchmark over each other, of which the base
// is dashed: percentiles and distribution where both have a histogram, and restart by
// restart. What has no figures on one of both sides is not drawn.
func Overlay(base, after bench.Result) (charts []Chart) {
	if outcomeOf(base) == nil && outcomeOf(after) == nil {
		if a, b := histogramOf(base), histogramOf(after); a != nil && b != nil {
			if c, ok := percentileOverlay(base, after, a, b); ok {
				charts = append(charts, c)
			}
			charts = append(charts, distributionOverlay(a, b))
		}
	}
	if c, ok := restartsOverlay(base.Restarts, after.Restarts); ok {
		charts = append(charts, c)
	}
	return charts
}

func percentileOverlay(base, after bench.Result, a, b *hdrhistogram.Histogram) (Chart, bool) {
	c, ok := percentileChart("Percentiles", []curve{{"base", base, curveOf(a)}, {"new", after, curveOf(b)}})
	if !ok || len(c.Lines) != 2 {
		return Chart{}, false
	}
	c.Lines[0].Dashed = true
	c.Table = &ChartTable{Columns: []string{"percentile", "base", "new"}}
	for _, row := range []struct {
		name string
		cell func(bench.Result) string
	}{
		{"p50", medianCell},
		{"p90", percentileCell("p90_ns")},
		{"p99", percentileCell("p99_ns")},
		{"p99.9", percentileCell("p99.9_ns")},
		{"p99.99", percentileCell("p99.99_ns")},
		{"max", percentileCell("max_ns")},
	} {
		c.Table.Rows = append(c.Table.Rows, []string{row.name, row.cell(base), row.cell(after)})
	}
	return c, true
}

// distributionOverlay has the samples of both in the same bins, as shares, since they
// are not equally many: the new as bars, and the base as a line around where its own
// would be.
func distributionOverlay(a, b *hdrhistogram.Histogram) Chart {
	low := math.Max(1, float64(min(a.Min(), b.Min())))
	high := math.Max(1.01*low, float64(max(a.Max(), b.Max()))) // a single value still needs an axis
	shares := func(h *hdrhistogram.Histogram, n int) points {
		d := &distribution{histogram: h, low: low, high: high}
		counts := points(d.bins(n))
		for i := range counts {
			counts[i] /= float64(h.TotalCount())
		}
		return counts
	}
	axis := &distribution{low: low, high: high}
	c := Chart{
		Title: "Distribution",
		Note:  "Bars are the new, the dashed line is the base.",
		Table: &ChartTable{Columns: []string{"latency", "base", "new"}},
		x:     axisForm{Name: "latency, logarithmic", Kind: axisLatency}, y: axisForm{Name: "share of the samples", Kind: axisShare},
		bars: true,
	}
	c.Lines = newLines(ChartLine{Name: "base", Dashed: true, points: shares(a, plotBars)}, ChartLine{Name: "new", points: shares(b, plotBars)})
	for i := range plotBars {
		c.at = append(c.at, axis.ns((float64(i)+0.5)/plotBars))
	}
	was, now := shares(a, tableBins), shares(b, tableBins)
	for i := range tableBins {
		if was[i]+now[i] > 0 {
			c.Table.Rows = append(c.Table.Rows, []string{
				humanInterval(axis.ns(float64(i)/tableBins), axis.ns(float64(i+1)/tableBins)), share(was[i]), share(now[i]),
			})
		}
	}
	var told []string
	for _, side := range []struct {
		name string
		h    *hdrhistogram.Histogram
	}{{"base", a}, {"new", b}} {
		median := float64(side.h.ValueAtPercentile(50))
		c.marks = append(c.marks, chartMark{At: median, Name: side.name + " p50"})
		told = append(told, fmt.Sprintf("%s samples of the %s from %s to %s, p50 %s", grouped(strconv.FormatInt(side.h.TotalCount(), 10)), side.name,
			humanNS(float64(side.h.Min())), humanNS(float64(side.h.Max())), humanNS(median)))
	}
	c.Label = "Distributions over each other: " + strings.Join(told, "; ") + "."
	return c
}

// restartsOverlay is what restart after restart of both measured, as far as both go.
// It is false where there are too few for a line.
func restartsOverlay(base, after []bench.Restart) (Chart, bool) {
	n := min(len(base), len(after))
	if n < 2 {
		return Chart{}, false
	}
	from := max(0, n-overlayRestarts)
	base, after = base[from:n], after[from:n]
	c := Chart{
		Title: "Median, restart by restart",
		Table: &ChartTable{Columns: []string{"restart", "base", "new"}},
		x:     axisForm{"restart", axisRestart, nil}, y: axisForm{Name: "latency", Kind: axisLatency},
	}
	if from > 0 {
		c.Note = fmt.Sprintf("The last %d of %d.", overlayRestarts, n)
	}
	var was, now points
	for i := range base {
		number := from + i + 1
		c.at = append(c.at, float64(number))
		was, now = append(was, positive(base[i].P50NS)), append(now, positive(after[i].P50NS))
		c.Table.Rows = append(c.Table.Rows, []string{strconv.Itoa(number), humanNS(base[i].P50NS), humanNS(after[i].P50NS)})
		taint := slices.Concat(prefixed("base ", base[i].Taint), prefixed("new ", after[i].Taint))
		if len(taint) > 0 {
			c.taint = append(c.taint, chartMark{At: float64(number), Name: strings.Join(taint, ", ")})
		}
	}
	c.Lines = newLines(ChartLine{Name: "base", Dashed: true, points: was}, ChartLine{Name: "new", points: now})
	c.Label = fmt.Sprintf("Medians of %s a side, one after the other", count(len(base), "restart"))
	if len(c.taint) > 0 {
		c.Note = strings.TrimSpace("Shaded restarts are tainted on one side or both. " + c.Note)
		c.Label += fmt.Sprintf(", %d tainted", len(c.taint))
	}
	c.Label += "."
	return c, true
}

func prefixed(prefix string, texts []string) (all []string) {
	for _, text := range texts {
		all = append(all, prefix+text)
	}
	return all
}
