package main

import (
	"math"
	"slices"
)

// variation is the coefficient of variation of values: their standard deviation,
// of a sample, as a share of their mean; 0 of fewer than two.
func variation(values []float64) float64 {
	n := float64(len(values))
	if n < 2 {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return math.Sqrt(squares/(n-1)) / mean
}

// spread is the least, the middle and the most of values, of which there is one.
func spread(values []float64) (low, middle, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[n-1]
}
