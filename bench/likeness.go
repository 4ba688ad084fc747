package bench

import (
	"cmp"
	"math"
	"slices"
)

// widened is P with its normal deviate divided.
func widened(p, by float64) float64 {
	if by <= 1 || p <= 0 || p >= 1 {
		return p
	}
	return math.Erfc(erfcinv(p) / by)
}

// erfcinv is the inverse of math.Erfc, of the smallest values too: math.Erfcinv takes
// them from 1, which leaves nothing of those below 1e-16.
func erfcinv(p float64) float64 {
	if p > 1e-8 {
		return math.Erfcinv(p)
	}
	low, high := 0.0, 27.5 // where math.Erfc is below what a float64 holds
	for range 64 {
		if middle := (low + high) / 2; math.Erfc(middle) > p {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// likeness is how many restarts of a run tell as much as one at a random moment: 1
// and twice the sum of the autocorrelations of their ranks, as far as those of
// neighbouring lags are above 0 together (C. J. Geyer, Practical Markov chain Monte
// Carlo, Statistical Science 7, 1992).
func likeness(values []float64) float64 {
	n := len(values)
	ranks := rankOf(values)
	middle := float64(n-1) / 2
	correlation := func(lag int) float64 {
		sum := 0.0
		for i := range n - lag {
			sum += (ranks[i] - middle) * (ranks[i+lag] - middle)
		}
		return sum
	}
	spread := correlation(0)
	if spread <= 0 {
		return 1
	}
	sum := 1.0
	for lag := 1; lag+1 < n/2; lag += 2 {
		pair := (correlation(lag) + correlation(lag+1)) / spread
		if pair <= 0 {
			break
		}
		sum += 2 * pair
	}
	return min(sum, float64(n))
}

// rankOf are the ranks of values, from 0; those that are equal share theirs.
func rankOf(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	ranks := make([]float64, len(values))
	for first := 0; first < len(order); {
		after := first + 1
		for after < len(order) && values[order[after]] == values[order[first]] {
			after++
		}
		for _, i := range order[first:after] {
			ranks[i] = float64(first+after-1) / 2
		}
		first = after
	}
	return ranks
}
