package judge

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"

	"github.com/loopcheck/loopcheck/bench"
)

// normal975 is the quantile of the normal distribution that 95 % lie within, on
// both sides.
const normal975 = 1.959964

// normalQuantile is the quantile of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// draws is how often restarts are drawn again for an interval: its ends then
// differ from those of endless draws by a tenth of its width at most.
const draws = 2000

// runsRatio compares values of two runs, each in the order it was made in, all
// above 0.
//
// What a machine does in one second it mostly does in the next: restarts that
// follow one another are alike, and n of them tell less than n that were made at n
// random moments. The interval is that of the moving block bootstrap (H. R. Künsch,
// The jackknife and the bootstrap for general stationary observations, Annals of
// Statistics 17, 1989), and the normal deviate of Mann and Whitney's P is divided by
// the root of how many restarts count as one.
func runsRatio(of, to []float64) bench.Ratio {
	source := rand.New(rand.NewPCG(1, 2))
	alike := []float64{likeness(of), likeness(to)}
	ratios := make([]float64, draws)
	a, b := newBlocks(of, alike[0]), newBlocks(to, alike[1])
	for i := range ratios {
		ratios[i] = a.median(source) / b.median(source)
	}
	slices.Sort(ratios)
	return bench.Ratio{
		Value: median(slices.Clone(of)) / median(slices.Clone(to)),
		Low:   ratios[draws*25/1000], High: ratios[draws*975/1000-1],
		P: widened(mannWhitney(of, to), math.Sqrt((alike[0]+alike[1])/2)),
	}
}

// mannWhitney is the probability of samples as different as these if they were the
// same.
func mannWhitney(a, b []float64) float64 {
	sample := func(values []float64) *benchmath.Sample {
		return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	}
	if p := benchmath.AssumeNothing.Compare(sample(a), sample(b)).P; !math.IsNaN(p) {
		return min(p, 1) // which sums of rounded terms may exceed
	}
	return 1
}

// widened is P with its normal deviate divided.
func widened(p, by float64) float64 {
	if by <= 1 || p <= 0 || p >= 1 {
		return p
	}
	return math.Erfc(math.Erfcinv(p) / by)
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

// blocks draws values anew in stretches that follow one another.
type blocks struct {
	values, drawn []float64
	length        int
}

func newBlocks(values []float64, alike float64) *blocks {
	return &blocks{
		values: values, drawn: make([]float64, len(values)),
		length: min(max(int(math.Ceil(alike)), 1), max(len(values)/3, 1)),
	}
}

// median is that of as many values as there are, drawn with replacement.
func (b *blocks) median(source *rand.Rand) float64 {
	for filled := 0; filled < len(b.drawn); {
		from := source.IntN(len(b.values) - b.length + 1)
		filled += copy(b.drawn[filled:], b.values[from:from+b.length])
	}
	return median(b.drawn)
}

// median sorts the values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
