package bench

import (
	"cmp"
	"math"
)

// keptRate is the share of a fixed rate that counts as having kept it: a window
// that ends amid an interval, or a stall of the machine, takes some from it.
const keptRate = 0.98

// MissedRate says whether a fixed rate was asked for that was not reached:
// requests queued up, and the response times tell of the queue.
func (r Result) MissedRate() bool {
	return r.RateHz > 0 && r.Count > 0 && r.RatePerS < keptRate*r.RateHz
}

// Uncertainty is how far the farther end of CI95 lies from the median of the
// restarts' medians, as a share of it: 0.02 is ±2 %. It is +Inf where nothing was
// measured, or too little for an interval of 95 %.
func (r Result) Uncertainty() float64 {
	middle := cmp.Or(r.MedianNS, r.Percentiles["p50_ns"]) // of a report of before
	if middle <= 0 || r.CI95.Confidence < 0.95 {
		return math.Inf(1)
	}
	return max(r.CI95.HighNS/middle-1, 1-r.CI95.LowNS/middle)
}

// Counted are the restarts that the figures cover.
func (r Result) Counted() []Restart {
	var clean []Restart
	for _, restart := range r.Restarts {
		if len(restart.Taint) == 0 {
			clean = append(clean, restart)
		}
	}
	if len(clean) == 0 {
		return r.Restarts
	}
	return clean
}

// SamplesFor is how many samples a percentile takes, by its key such as
// "p99.9_ns"; 0 where there is no such percentile.
func SamplesFor(key string) int64 {
	for _, p := range percentiles {
		if p.key == key {
			return minBeyond * p.beyond
		}
	}
	return 0
}
