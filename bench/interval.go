package bench

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// medianInterval is the interval that holds the median of all the restarts one
// could make, from the medians of those that were made. It assumes nothing of
// their distribution.
func medianInterval(medians []float64) Interval {
	if len(medians) == 0 {
		return Interval{}
	}
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(medians), &benchmath.DefaultThresholds), 0.95)
	if !math.IsInf(s.Lo, 0) && !math.IsInf(s.Hi, 0) {
		return Interval{LowNS: s.Lo, HighNS: s.Hi, Confidence: s.Confidence}
	}
	// Too few for 0.95. The whole range misses the median only where all of
	// them lie on one side of it.
	return Interval{
		LowNS:      slices.Min(medians),
		HighNS:     slices.Max(medians),
		Confidence: 1 - math.Pow(0.5, float64(len(medians)-1)),
	}
}

// median is the middle of values, or the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
