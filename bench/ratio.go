package bench

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Quantity is what is compared of restarts, by the key it has in their JSON.
type Quantity string

// Quantities.
const (
	P50   Quantity = "p50_ns"
	P90   Quantity = "p90_ns"
	P99   Quantity = "p99_ns"
	Rate  Quantity = "rate_per_s"    // operations per second
	Bytes Quantity = "bytes_per_s"   // that a stream delivered
	CPU   Quantity = "cpu_ns_per_op" // user and system time of both ends
)

var quantities = []Quantity{P50, P90, P99, Rate, Bytes, CPU}

// Of is what a restart tells of the quantity; 0 where it does not.
func (q Quantity) Of(r Restart) float64 {
	switch q {
	case P50:
		return r.P50NS
	case P90:
		return r.P90NS
	case P99:
		return r.P99NS
	case Rate:
		return r.RatePerS()
	case Bytes:
		return r.BytesPerS
	case CPU:
		return r.CPUNSPerOp
	}
	return 0
}

// Metric is one quantity of all sides.
type Metric struct {
	Quantity Quantity   `json:"quantity"`
	Sides    []Estimate `json:"sides"`
	// Ratios are those of each side to the first; that of the first itself is 1.
	Ratios []Ratio `json:"ratios"`
}

// Estimate is a median over restarts with an interval from order statistics.
// Confidence is what was reached, which is below 0.95 where the restarts are too
// few for more.
type Estimate struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
}

// Ratio is how many times as large the median of one side is as that of another.
type Ratio struct {
	Value float64 `json:"value"`
	// Low and High bound it with a confidence of 95 %: 95 % of what comes out when
	// rounds are drawn again, with replacement, from those there are (the percentile
	// bootstrap). A round is drawn for both sides at once. Of fewer than some ten
	// rounds they lie too close together.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// P is the probability of sides as different as these if they were the same
	// (Mann and Whitney's U test).
	P float64 `json:"p"`
}

// Ratio compares two of the sides, by their index. It says whether both tell of
// the quantity, in rounds that count.
func (c Comparison) Ratio(q Quantity, of, to int) (Ratio, bool) {
	a, b := c.values(q, of), c.values(q, to)
	if a == nil || b == nil {
		return Ratio{}, false
	}
	return ratio(a, b), true
}

// Estimate is the median of one side, if it tells of the quantity.
func (c Comparison) Estimate(q Quantity, side int) (Estimate, bool) {
	values := c.values(q, side)
	if values == nil {
		return Estimate{}, false
	}
	return EstimateOf(values), true
}

// EstimateOf is the median of values with its interval.
func EstimateOf(values []float64) Estimate {
	i := medianInterval(values)
	return Estimate{Median: median(values), Low: i.LowNS, High: i.HighNS, Confidence: i.Confidence}
}

// values are those of a side in the rounds that count, or nil where one is not
// known.
func (c Comparison) values(q Quantity, side int) []float64 {
	var values []float64
	for round, r := range c.Sides[side].Restarts {
		if len(c.taints(round)) > 0 {
			continue
		}
		v := q.Of(r)
		if !(v > 0) || math.IsInf(v, 0) {
			return nil
		}
		values = append(values, v)
	}
	return values
}

// metric sums up a quantity, if all sides tell it.
func (c Comparison) metric(q Quantity) (Metric, bool) {
	m := Metric{Quantity: q}
	for i := range c.Sides {
		estimate, told := c.Estimate(q, i)
		if !told {
			return m, false
		}
		ratio, told := c.Ratio(q, i, 0)
		if !told {
			return m, false
		}
		m.Sides, m.Ratios = append(m.Sides, estimate), append(m.Ratios, ratio)
	}
	return m, true
}

// draws is how often rounds are drawn again: the ends of the interval then differ
// from those of endless draws by less than the figures that are printed.
const draws = 10_000

// ratio compares values of the same rounds, all of them above 0. The draws are
// the same each time, so that what was measured always gives the same interval.
func ratio(of, to []float64) Ratio {
	source := rand.New(rand.NewPCG(1, 2))
	a, b := newDrawn(of), newDrawn(to)
	ratios := make([]float64, draws)
	for i := range ratios {
		clear(a.times)
		clear(b.times)
		for range of {
			round := source.IntN(len(of))
			a.times[a.rank[round]]++
			b.times[b.rank[round]]++
		}
		ratios[i] = a.median() / b.median()
	}
	slices.Sort(ratios)
	r := Ratio{Value: median(of) / median(to), Low: ratios[draws*25/1000], High: ratios[draws*975/1000-1], P: 1}
	sample := func(values []float64) *benchmath.Sample {
		return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	}
	if p := benchmath.AssumeNothing.Compare(sample(of), sample(to)).P; !math.IsNaN(p) {
		r.P = min(p, 1) // which sums of rounded terms may exceed
	}
	return r
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
