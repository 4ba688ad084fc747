package judge

import (
	"math"
	"slices"

	"github.com/loopcheck/loopcheck/bench"
)

// wanderDeviations is how many standard deviations of its restarts the median of a run
// may differ by from that of a run at another time. Of recorded restarts the medians of
// neighbouring runs deviated by a fifth to four fifths of the restarts' own deviation
// (docs/measuring.md), however many restarts they were of: more of them do not help,
// since what differs is the state of the machine. Two runs differ by the root of two as
// much, and five times that is rare.
const wanderDeviations = 3

// wander is by what share two runs may differ although nothing changed.
func wander(q bench.Quantity, base, after []bench.Restart) float64 {
	deviation := max(deviation(values(q, base)), deviation(values(q, after)))
	most := math.Expm1(wanderDeviations * deviation)
	if q == bench.P99 && tailTold(base) && tailTold(after) {
		most = max(most, steepness(base), steepness(after))
	}
	return most
}

// deviation is the standard deviation of the logarithms of values whose outermost
// tenths count by their number alone.
func deviation(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := func(share float64) float64 { return math.Log(sorted[int(math.Round(share*float64(len(sorted)-1)))]) }
	const normal = 2.563103 // between the tenths of a normal distribution, in deviations
	return (at(0.9) - at(0.1)) / normal
}

// tailTold says whether restarts tell how steep their tail is at p99.
func tailTold(restarts []bench.Restart) bool {
	return !slices.ContainsFunc(restarts, func(r bench.Restart) bool { return r.P98NS <= 0 || r.P995NS <= 0 })
}

// steepness is by what share p99 moves if half as many samples lie beyond it, or twice
// as many: what else a machine does disturbs a share of the samples that is different
// from one moment to the next.
func steepness(restarts []bench.Restart) float64 {
	var up, down []float64
	for _, r := range restarts {
		up, down = append(up, r.P995NS/r.P99NS), append(down, r.P99NS/r.P98NS)
	}
	middle := func(values []float64) float64 {
		slices.Sort(values)
		return values[len(values)/2]
	}
	return max(middle(up), middle(down)) - 1
}
