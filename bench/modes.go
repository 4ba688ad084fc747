package bench

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// modeSteps is how many bars a doubling of latency is divided into.
	modeSteps = 8
	// minModeShare is the share of samples that a mode has at least: fewer are a tail.
	minModeShare = 0.1
	// maxValley is how high the lowest bar between two modes may be, as a share of
	// the lower peak.
	maxValley = 0.5
	// minModeSamples are the fewest samples that tell modes from chance.
	minModeSamples = 100
)

// mode is a stretch of bars with one peak, from first to before end.
type mode struct {
	first, peak, end int
}

// modes are the peaks of a distribution, in nanoseconds, where it has more than
// one: a scheduler that keeps two ends on one processor at times and on two at
// others makes two, and the median then tells of neither. Bars are equally wide
// on a logarithmic scale, each smoothed with its neighbours.
func modes(h *hdrhistogram.Histogram) []float64 {
	total := float64(h.TotalCount())
	if total < minModeSamples {
		return nil
	}
	step := func(ns int64) int { return int(math.Log2(float64(max(ns, 1))) * modeSteps) }
	first := step(h.Min()) - 1
	bars := make([]float64, step(h.Max())-first+3)
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			bars[min(max(step((bar.From+bar.To)/2)-first, 0), len(bars)-1)] += float64(bar.Count)
		}
	}
	smooth := make([]float64, len(bars))
	for i := range bars {
		smooth[i] = (bars[max(i-1, 0)] + 2*bars[i] + bars[min(i+1, len(bars)-1)]) / 4
	}
	var peaks []float64
	for _, m := range mergeModes(hills(smooth), smooth) {
		share := 0.0
		for _, n := range bars[m.first:m.end] {
			share += n
		}
		if share >= minModeShare*total {
			peaks = append(peaks, math.Exp2((float64(m.peak+first)+0.5)/modeSteps))
		}
	}
	if len(peaks) < 2 {
		return nil
	}
	return peaks
}

// hills divides bars at their lowest points, one peak in each stretch.
func hills(bars []float64) []mode {
	var found []mode
	current := mode{}
	falling := false
	for i := 1; i < len(bars); i++ {
		switch {
		case bars[i] < bars[i-1]:
			falling = true
		case bars[i] > bars[i-1] && falling:
			current.end = i
			found = append(found, current)
			current, falling = mode{first: i, peak: i}, false
		case bars[i] > bars[current.peak]:
			current.peak = i
		}
		if bars[i] > bars[current.peak] {
			current.peak = i
		}
	}
	current.end = len(bars)
	return append(found, current)
}

// mergeModes joins neighbours until a valley lies between each two.
func mergeModes(all []mode, bars []float64) []mode {
	for i := 0; i+1 < len(all); {
		a, b := all[i], all[i+1]
		lower := min(bars[a.peak], bars[b.peak])
		if valley := min(bars[b.first-1], bars[b.first]); valley <= maxValley*lower {
			i++
			continue
		}
		if bars[b.peak] > bars[a.peak] {
			a.peak = b.peak
		}
		all[i] = mode{a.first, a.peak, b.end}
		all = append(all[:i+1], all[i+2:]...)
		i = max(i-1, 0)
	}
	return all
}
