package bench

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// draws is how often rounds or restarts are drawn again: the ends of the interval then
// differ from those of endless draws by less than the figures that are printed.
const draws = 10_000

// ratio compares values of the same rounds, all of them above 0.
func ratio(of, to []float64) Ratio {
	return drawAgain(of, to, mannWhitney(of, to), func(source *rand.Rand, a, b *drawn) {
		for range of {
			round := source.IntN(len(of))
			a.take(round)
			b.take(round)
		}
	})
}

// RunsRatio compares values of two runs, each in the order it was made in, all above
// 0.
//
// What a machine does in one second it mostly does in the next: restarts that
// follow one another are alike, and n of them tell less than n that were made at n
// random moments. The interval is that of the moving block bootstrap (H. R. Künsch,
// The jackknife and the bootstrap for general stationary observations, Annals of
// Statistics 17, 1989), and the normal deviate of Mann and Whitney's P is divided by
// the root of how many restarts count as one.
func RunsRatio(of, to []float64) Ratio {
	alike, likeTo := likeness(of), likeness(to)
	return drawAgain(of, to, widened(mannWhitney(of, to), math.Sqrt((alike+likeTo)/2)), func(source *rand.Rand, a, b *drawn) {
		a.takeStretches(source, alike)
		b.takeStretches(source, likeTo)
	})
}

// drawAgain is the ratio of the medians, with the interval of what comes out when the
// values are drawn again. The draws are the same each time, so that what was measured
// always gives the same interval.
func drawAgain(of, to []float64, p float64, draw func(source *rand.Rand, a, b *drawn)) Ratio {
	source := rand.New(rand.NewPCG(1, 2))
	a, b := newDrawn(of), newDrawn(to)
	ratios := make([]float64, draws)
	for i := range ratios {
		clear(a.times)
		clear(b.times)
		draw(source, a, b)
		ratios[i] = a.median() / b.median()
	}
	slices.Sort(ratios)
	return Ratio{Value: median(of) / median(to), Low: ratios[draws*25/1000], High: ratios[draws*975/1000-1], P: p}
}

// mannWhitney is the probability of samples as different as these if they were the
// same.
func mannWhitney(a, b []float64) float64 {
	sample := func(values []float64) *benchmath.Sample {
		return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	}
	switch p := benchmath.AssumeNothing.Compare(sample(a), sample(b)).P; {
	case math.IsNaN(p):
		return 1
	case p > 0:
		return min(p, 1) // which sums of rounded terms may exceed
	}
	return farApart(a, b)
}

// farApart is mannWhitney of many values that are so far apart that its distribution,
// as 1 less what lies below, rounds to 0. It is the normal one then, of which the tail
// is told as such.
func farApart(a, b []float64) float64 {
	n, m := float64(len(a)), float64(len(b))
	sum := 0.0
	for _, rank := range rankOf(slices.Concat(a, b))[:len(a)] {
		sum += rank
	}
	u := sum - n*(n-1)/2
	deviate := (math.Abs(u-n*m/2) - 0.5) / math.Sqrt(n*m*(n+m+1)/12)
	return math.Erfc(deviate / math.Sqrt2)
}

// drawn are values of rounds, and how often each was drawn. Their order is found
// once: thousands of draws are not sorted.
type drawn struct {
	sorted []float64
	rank   []int // of each round's value among the sorted
	times  []int // that each of the sorted was drawn
}

func newDrawn(values []float64) *drawn {
	byValue := make([]int, len(values))
	for i := range byValue {
		byValue[i] = i
	}
	slices.SortFunc(byValue, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	d := &drawn{rank: make([]int, len(values)), times: make([]int, len(values))}
	for rank, round := range byValue {
		d.sorted = append(d.sorted, values[round])
		d.rank[round] = rank
	}
	return d
}

// take draws the value at a place, from 0, of those it was made of.
func (d *drawn) take(i int) { d.times[d.rank[i]]++ }

// takeStretches draws as many values as there are, in stretches of those that follow
// one another, each as long as restarts are alike.
func (d *drawn) takeStretches(source *rand.Rand, alike float64) {
	n := len(d.rank)
	length := min(max(int(math.Ceil(alike)), 1), max(n/3, 1))
	for left := n; left > 0; {
		from := source.IntN(n - length + 1)
		for i := from; i < from+length && left > 0; i++ {
			d.take(i)
			left--
		}
	}
}

// median is that of what was drawn, as many as there are values.
func (d *drawn) median() float64 {
	n := len(d.sorted)
	return (d.at((n-1)/2) + d.at(n/2)) / 2
}

// at is what stands at a place, from 0, of what was drawn in order.
func (d *drawn) at(place int) float64 {
	for rank, times := range d.times {
		if place -= times; place < 0 {
			return d.sorted[rank]
		}
	}
	return 0
}
