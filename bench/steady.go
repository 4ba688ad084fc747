package bench

import (
	"math"
	"time"
)

const (
	// warmupSlice is long enough for some dozen round trips over two processors.
	warmupSlice = 2 * time.Millisecond
	// trendSlices is how many slices are looked at for a trend.
	trendSlices = 8
	// maxWarmup bounds the warm-up: a machine that drifts all the time is measured
	// as it is.
	maxWarmup = 500 * time.Millisecond
)

// warmUp runs an engine until its median shows no trend any more, and says
// whether that came to be.
func warmUp(e engine, m *meter) (steady bool, err error) {
	began := m.now()
	medians := make([]float64, 0, int(maxWarmup/warmupSlice)+1)
	for m.now()-began < maxWarmup && len(medians) < cap(medians) {
		m.reset()
		if err := e.run(m, warmupSlice); err != nil {
			return false, err
		}
		medians = append(medians, float64(m.hist.ValueAtPercentile(50)))
		if n := len(medians); n >= trendSlices && !trending(medians[n-trendSlices:]) {
			return true, nil
		}
	}
	return false, nil
}

// trending is the test of Mann and Kendall for a trend: whether later values tend
// to be greater, or lower, than earlier ones, at a level of 5 % (H. B. Mann,
// Nonparametric tests against trend, Econometrica 13, 1945).
func trending(values []float64) bool {
	n := float64(len(values))
	s := 0.0
	ties := map[float64]float64{}
	for i, a := range values {
		ties[a]++
		for _, b := range values[i+1:] {
			switch {
			case b > a:
				s++
			case b < a:
				s--
			}
		}
	}
	variance := n * (n - 1) * (2*n + 5)
	for _, t := range ties {
		variance -= t * (t - 1) * (2*t + 5)
	}
	variance /= 18
	if variance <= 0 || s == 0 {
		return false
	}
	const normal975 = 1.959964
	return (math.Abs(s)-1)/math.Sqrt(variance) > normal975
}
