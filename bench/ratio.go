package bench

import (
	"math"
	"strings"
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

// String is the name of a quantity in texts.
func (q Quantity) String() string {
	switch q {
	case Rate, Bytes:
		return "rate"
	case CPU:
		return "CPU/op"
	}
	return strings.TrimSuffix(string(q), "_ns")
}

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
	// bootstrap). A round is drawn for both sides at once; of sides that were not
	// measured in turns, stretches of restarts are drawn for each (RunsRatio). Of fewer
	// than some ten they lie too close together.
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
