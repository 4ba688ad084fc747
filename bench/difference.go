package bench

import (
	"fmt"
	"slices"
)

// Difference is how much longer one benchmark took than another that was measured
// beside it: over the rounds that hold an untainted restart of both, or over all
// rounds where there are none. What drifts with time meets both sides of a round
// alike, so that it is told better than the medians it lies between.
type Difference struct {
	// NS is the median over rounds of how much the median round trip was longer.
	NS   float64  `json:"ns"`
	CI95 Interval `json:"ci95"`
	// Ratio is that of how many times as long it was.
	Ratio float64 `json:"ratio"`
	// RatioLow and RatioHigh bound it as CI95 does NS, with the same confidence.
	RatioLow  float64 `json:"ratio_low"`
	RatioHigh float64 `json:"ratio_high"`
	Rounds    int     `json:"rounds"` // that it is told from
	// Inconclusive says why it is not to be trusted; empty where it is.
	Inconclusive string `json:"inconclusive,omitempty"`
}

// Over is the difference of a result from a base, paired by the rounds of their
// restarts.
func (r Result) Over(base Result) Difference { return r.overSome(base, 1) }

// overSome is Over of a base that is made a number of times.
func (r Result) overSome(base Result, times float64) Difference {
	byRound := map[int]Restart{}
	for _, b := range base.Restarts {
		byRound[b.Round] = b
	}
	var clean, all rounds
	var taint []string
	for _, one := range r.Restarts {
		b, found := byRound[one.Round]
		if !found || b.P50NS <= 0 {
			continue
		}
		all.add(one.P50NS, times*b.P50NS)
		if len(one.Taint) == 0 && len(b.Taint) == 0 {
			clean.add(one.P50NS, times*b.P50NS)
		}
		taint = slices.Concat(taint, one.Taint, b.Taint)
	}
	told := clean
	if told.len() == 0 {
		told = all
	}
	d := told.difference()
	if n := all.len(); float64(n-clean.len()) > maxTaintedShare*float64(n) {
		d.Inconclusive = fmt.Sprintf("in %d of %d rounds one of both is tainted: %s", n-clean.len(), n, eachOnce(taint))
	}
	return d
}

// rounds are what two sides took in each, held against each other.
type rounds struct{ longer, ratio []float64 }

func (r *rounds) add(took, base float64) {
	r.longer = append(r.longer, took-base)
	r.ratio = append(r.ratio, took/base)
}

func (r rounds) len() int { return len(r.longer) }

func (r rounds) difference() Difference {
	ratio := medianInterval(r.ratio)
	return Difference{
		NS: median(r.longer), CI95: medianInterval(r.longer),
		Ratio: median(r.ratio), RatioLow: ratio.LowNS, RatioHigh: ratio.HighNS,
		Rounds: r.len(),
	}
}

// known says whether there were rounds enough for an interval of 95 %.
func (d Difference) known() bool { return d.CI95.Confidence >= 0.95 }

// Longer says that the difference is more than nothing beyond its interval, and
// Shorter that it is less.
func (d Difference) Longer() bool  { return d.known() && d.CI95.LowNS > 0 }
func (d Difference) Shorter() bool { return d.known() && d.CI95.HighNS < 0 }

// Remark says what keeps the difference from being taken at its word, given the
// name of what it was held against; empty where nothing does.
func (d Difference) Remark(base string) string {
	switch {
	case d.Rounds == 0:
		return ""
	case !d.known():
		return fmt.Sprintf("too few rounds to tell it from %s: %d of the 6 it takes", base, d.Rounds)
	case d.Shorter():
		return fmt.Sprintf("faster than %s beyond the noise: what it adds cannot be told", base)
	case !d.Longer():
		return fmt.Sprintf("not slower than %s beyond the noise", base)
	}
	return ""
}
