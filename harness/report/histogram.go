package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

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

	Modes []string // where the peaks lie, where there is more than one
	Peaks string   // the peaks in words; empty where there is but one

	histogram *hdrhistogram.Histogram
	low, high float64   // nanoseconds
	modes     []float64 // nanoseconds
}

type plotBar struct{ X, Y, Width, Height string }

type plotMark struct {
	X      string
	Anchor string // SVG text-anchor that keeps the name inside the plot
	Dx     int    // pixels between the line and its name
	Y      int    // pixels from the top to the name, so that neighbours do not overlap
	Name   string
}

// markedPercentiles are those that a distribution marks.
var markedPercentiles = []float64{50, 90, 99}

// distributionOf is nil where a benchmark has no histogram that can be read.
func distributionOf(b bench.Result) *distribution {
	histogram := histogramOf(b)
	if histogram == nil {
		return nil
	}
	low, high := math.Max(1, float64(histogram.Min())), math.Max(1, float64(histogram.Max()))
	if high <= low {
		high = low * 1.01 // a single value still needs an axis
	}
	d := &distribution{Low: humanNS(low), High: humanNS(high), histogram: histogram, low: low, high: high}
	d.Bars = plotBarsOf(d.bins(plotBars))
	d.Label = fmt.Sprintf("Distribution of %s samples from %s to %s", grouped(fmt.Sprint(histogram.TotalCount())), d.Low, d.High)
	for row, p := range markedPercentiles {
		ns := float64(histogram.ValueAtPercentile(p))
		mark := plotMark{X: percentOf(d.axis(ns)), Anchor: "start", Dx: 5, Y: 12 + 15*row, Name: fmt.Sprintf("p%g %s", p, humanNS(ns))}
		if d.axis(ns) > 0.6 {
			mark.Anchor, mark.Dx = "end", -5
		}
		d.Marks = append(d.Marks, mark)
		d.Label += fmt.Sprintf(", %s", mark.Name)
	}
	d.addModes(b.ModesNS)
	return d
}

// addModes marks peaks, where there is more than one.
func (d *distribution) addModes(ns []float64) {
	if len(ns) < 2 {
		return
	}
	var names []string
	for _, mode := range ns {
		d.Modes, names = append(d.Modes, percentOf(d.axis(mode))), append(names, humanNS(mode))
	}
	d.modes = ns
	d.Peaks = fmt.Sprintf("%d modes: %s", len(ns), strings.Join(names, ", "))
	d.Label += ", " + d.Peaks
}

// ns is the latency at a place of the axis, from 0 to 1.
func (d *distribution) ns(at float64) float64 { return d.low * math.Pow(d.high/d.low, at) }

// axis is where a latency lies between the ends, from 0 to 1.
func (d *distribution) axis(ns float64) float64 {
	return math.Min(1, math.Max(0, math.Log(ns/d.low)/math.Log(d.high/d.low)))
}

// bins counts the samples in n stretches of the axis that are equally wide.
func (d *distribution) bins(n int) []float64 {
	counts := make([]float64, n)
	for _, bucket := range d.histogram.Distribution() {
		if bucket.Count > 0 {
			middle := (float64(bucket.From) + float64(bucket.To)) / 2
			counts[min(int(d.axis(math.Max(1, middle))*float64(n)), n-1)] += float64(bucket.Count)
		}
	}
	return counts
}

func plotBarsOf(counts []float64) []plotBar {
	highest := slices.Max(counts)
	var bars []plotBar
	for i, n := range counts {
		if n == 0 {
			continue
		}
		// A bin of one sample among thousands has to be seen all the same.
		height := math.Max(1, (100-plotTop)*n/highest)
		bars = append(bars, plotBar{
			X:      percentOf(float64(i) / float64(len(counts))),
			Width:  percentOf(0.86 / float64(len(counts))),
			Y:      fmt.Sprintf("%.2f%%", 100-height),
			Height: fmt.Sprintf("%.2f%%", height),
		})
	}
	return bars
}

func percentOf(share float64) string { return fmt.Sprintf("%.2f%%", share*100) }
