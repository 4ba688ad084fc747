package report

import (
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/loopcheck/loopcheck/bench"
)

const (
	// plotBars is the resolution of the plot, at which a bar is still some
	// pixels wide on a phone.
	plotBars = 72
	// plotTop is the share of the plot's height, in percent, above the highest
	// bar, where the marks have their names.
	plotTop = 34.0
)

// distribution is the plot of a benchmark's samples: latency from left to
// right on a logarithmic axis, the number of samples upward. Lengths are
// percents of the plot's size, so that it may be stretched.
type distribution struct {
	Bars  []plotBar
	Marks []plotMark
	Low   string // latency at the left end
	High  string // latency at the right end
	Label string // the plot in words
}

type plotBar struct{ X, Y, Width, Height string }

type plotMark struct {
	X      string
	Anchor string // SVG text-anchor that keeps the name inside the plot
	Row    int    // line that the name stands on, so that neighbours do not overlap
	Name   string
}

// distributionOf decodes a benchmark's histogram. It returns nil where there
// is none, or none that can be read: the percentiles still tell the figures.
func distributionOf(b bench.Result) *distribution {
	if b.Histogram == "" {
		return nil
	}
	histogram, err := hdrhistogram.Decode([]byte(b.Histogram))
	if err != nil || histogram.TotalCount() == 0 {
		return nil
	}
	low, high := math.Max(1, float64(histogram.Min())), math.Max(1, float64(histogram.Max()))
	if high <= low {
		high = low * 1.01 // a single value still needs an axis
	}
	axis := func(ns float64) float64 {
		return math.Min(1, math.Max(0, math.Log(ns/low)/math.Log(high/low)))
	}
	d := &distribution{
		Bars: plotBarsOf(histogram, axis),
		Low:  humanNS(low),
		High: humanNS(high),
	}
	d.Label = fmt.Sprintf("Distribution of %s round trips from %s to %s", grouped(fmt.Sprint(histogram.TotalCount())), d.Low, d.High)
	for row, p := range []float64{50, 90, 99} {
		ns := float64(histogram.ValueAtPercentile(p))
		mark := plotMark{X: percentOf(axis(ns)), Anchor: "start", Row: row, Name: fmt.Sprintf("p%g %s", p, humanNS(ns))}
		if axis(ns) > 0.6 {
			mark.Anchor = "end"
		}
		d.Marks = append(d.Marks, mark)
		d.Label += fmt.Sprintf(", %s", mark.Name)
	}
	return d
}

func plotBarsOf(histogram *hdrhistogram.Histogram, axis func(float64) float64) []plotBar {
	var counts [plotBars]float64
	highest := 0.0
	for _, bucket := range histogram.Distribution() {
		if bucket.Count == 0 {
			continue
		}
		middle := (float64(bucket.From) + float64(bucket.To)) / 2
		i := min(int(axis(math.Max(1, middle))*plotBars), plotBars-1)
		counts[i] += float64(bucket.Count)
		highest = math.Max(highest, counts[i])
	}
	var bars []plotBar
	for i, n := range counts {
		if n == 0 {
			continue
		}
		// A bin of one sample among thousands has to be seen all the same.
		height := math.Max(1, (100-plotTop)*n/highest)
		bars = append(bars, plotBar{
			X:      percentOf(float64(i) / plotBars),
			Width:  percentOf(0.86 / plotBars),
			Y:      fmt.Sprintf("%.2f%%", 100-height),
			Height: fmt.Sprintf("%.2f%%", height),
		})
	}
	return bars
}

func percentOf(share float64) string { return fmt.Sprintf("%.2f%%", share*100) }
