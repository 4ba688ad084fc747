// Package judge decides whether one measurement is slower than another: whether
// what two sets of restarts show is more than chance, and more than is worth a
// word.
//
// A regression takes both: a difference that chance does not explain, held over
// all benchmarks that are judged together, and one of a least size. Where neither
// a regression nor its absence can be told, the verdict is inconclusive, and says
// how many more restarts would tell.
package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
)

// Verdict is what is said of a benchmark, or of one of its quantities.
type Verdict string

// Verdicts, the worst first.
const (
	Regression   Verdict = "regression"
	Inconclusive Verdict = "inconclusive"
	Improvement  Verdict = "improvement"
	NoChange     Verdict = "no-change"
)

// verdicts are all of them, the worst first.
var verdicts = []Verdict{Regression, Inconclusive, Improvement, NoChange}

// rank is how bad a verdict is, from 0 for the worst.
func (v Verdict) rank() int { return slices.Index(verdicts, v) }

// Rules are what a verdict takes.
type Rules struct {
	// MinEffect is the least relative difference that counts: 0.05 is 5 %.
	MinEffect float64
	// Level is the probability, at most, that any benchmark of those that are judged
	// together seems to differ although none does.
	Level float64
}

// Defaults of Rules. A gate that fails once in a hundred runs for nothing is about
// what a team forgives.
const (
	DefaultMinEffect = 0.05
	DefaultLevel     = 0.01
)

// Quantities are what is judged of a benchmark, as far as both sides tell it.
var Quantities = []bench.Quantity{bench.P50, bench.P90, bench.P99, bench.Rate, bench.Bytes, bench.CPU}

// moreIsBetter are the quantities that grow when things get better.
func moreIsBetter(q bench.Quantity) bool { return q == bench.Rate || q == bench.Bytes }

// Benchmark is how one benchmark compares.
type Benchmark struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Reason says why it is inconclusive; empty otherwise.
	Reason string `json:"reason,omitempty"`
	// Metrics are of what both sides tell, in the order of Quantities.
	Metrics []Metric `json:"metrics"`
	// BaseRestarts and NewRestarts are how many count.
	BaseRestarts int `json:"base_restarts"`
	NewRestarts  int `json:"new_restarts"`

	fewer string // why there are fewer restarts than were wanted; empty where there are not
}

// Metric is one quantity of a benchmark, before and after.
type Metric struct {
	Quantity bench.Quantity `json:"quantity"`
	Base     bench.Estimate `json:"base"`
	New      bench.Estimate `json:"new"`
	// Ratio is that of the new median to the base's. Its P is of this metric alone.
	Ratio bench.Ratio `json:"ratio"`
	// AdjustedP is P where all that is judged together is taken for one question
	// (Holm).
	AdjustedP float64 `json:"adjusted_p"`
	Verdict   Verdict `json:"verdict"`
	// Wander is by what share runs at different times may differ although nothing
	// changed: a difference of less is inconclusive. It is 0 where the sides were
	// measured in turns.
	Wander float64 `json:"wander,omitempty"`
	// More is how many more restarts a side would decide, about; 0 where it is
	// decided, or where they would be more than MostMore.
	More     int  `json:"more_restarts,omitempty"`
	restarts int  // of the side that has fewer
	wanders  bool // it differs by less than Wander, or by less than may be
	untold   bool // the restarts do not tell how steep their tail is
	wide     bool // More would be too many since its interval is wide
}

// fewest is from how many restarts a side an interval is worth something: that nothing
// changed is said of no fewer.
const fewest = 5

// normal975 is the quantile of the normal distribution that 95 % lie within, on
// both sides.
const normal975 = 1.959964

// normalQuantile is the quantile of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// MostMore is up to how many more restarts are advised: a difference that takes
// more lies about where it begins to count.
const MostMore = 1000

// Worse is by what share the quantity got worse; below 0 it got better.
func (m Metric) Worse() float64 {
	if moreIsBetter(m.Quantity) {
		return 1/m.Ratio.Value - 1
	}
	return m.Ratio.Value - 1
}

// Pair is what was measured of one benchmark on two sides.
type Pair struct {
	Base, New bench.Result
}

// Pairs judges benchmarks that were measured at different times. Restarts of a run
// that follow one another are alike, which is taken into account (bench.RunsRatio), and
// a difference has to be larger than what a machine differs from itself by (Wander).
// A p99 that differs is not decided where one does not tell how steep its tail is.
func Pairs(pairs []Pair, rules Rules) []Benchmark {
	judged := make([]Benchmark, len(pairs))
	for i, p := range pairs {
		judged[i] = Benchmark{Name: p.New.Name}
		b := &judged[i]
		base, after := p.Base.Counted(), p.New.Counted()
		b.BaseRestarts, b.NewRestarts = len(base), len(after)
		b.Reason = doubts(p)
		for _, q := range Quantities {
			of, to := values(q, after), values(q, base)
			if of == nil || to == nil {
				continue
			}
			b.Metrics = append(b.Metrics, Metric{
				Quantity: q, Base: bench.EstimateOf(to), New: bench.EstimateOf(of), Ratio: bench.RunsRatio(of, to),
				Wander: wander(q, base, after), restarts: min(len(of), len(to)),
				untold: q == bench.P99 && !(tailTold(base) && tailTold(after)),
			})
		}
	}
	conclude(judged, rules)
	return judged
}

// doubts are those of the runs of a pair.
func doubts(p Pair) string {
	var all []string
	for _, side := range []struct {
		name   string
		result bench.Result
	}{{"base", p.Base}, {"new", p.New}} {
		if side.result.Inconclusive != "" {
			all = append(all, fmt.Sprintf("the %s run is: %s", side.name, side.result.Inconclusive))
		}
	}
	return strings.Join(all, "; ")
}

// Rounds judges sides that were measured in turns against the first of them:
// what drifts meets all sides of a round alike. Fewer rounds than were wanted are
// judged as well, unless most were tainted.
func Rounds(comparisons []bench.Comparison, rules Rules) []Benchmark {
	var judged []Benchmark
	for _, c := range comparisons {
		for side := 1; side < len(c.Sides); side++ {
			b := Benchmark{Name: c.Sides[side].Name, BaseRestarts: c.Kept, NewRestarts: c.Kept, fewer: c.Inconclusive}
			if c.Discarded > c.Kept {
				b.Reason = c.Inconclusive
			}
			for _, q := range Quantities {
				ratio, told := c.Ratio(q, side, 0)
				if !told {
					continue
				}
				base, _ := c.Estimate(q, 0)
				after, _ := c.Estimate(q, side)
				b.Metrics = append(b.Metrics, Metric{Quantity: q, Base: base, New: after, Ratio: ratio, restarts: c.Kept})
			}
			judged = append(judged, b)
		}
	}
	conclude(judged, rules)
	return judged
}

// values are those of restarts, or nil where one does not tell.
func values(q bench.Quantity, restarts []bench.Restart) []float64 {
	var all []float64
	for _, r := range restarts {
		v := q.Of(r)
		if !(v > 0) || math.IsInf(v, 0) {
			return nil
		}
		all = append(all, v)
	}
	return all
}

// conclude draws the verdicts of what is judged together.
func conclude(judged []Benchmark, rules Rules) {
	var all []*Metric
	for i := range judged {
		for k := range judged[i].Metrics {
			all = append(all, &judged[i].Metrics[k])
		}
	}
	holm(all)
	for _, m := range all {
		m.decide(rules, len(all))
	}
	for i := range judged {
		judged[i].conclude()
	}
}

// holm adjusts the P of each for their number (S. Holm, A simple sequentially
// rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979).
func holm(all []*Metric) {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b *Metric) int {
		switch {
		case a.Ratio.P < b.Ratio.P:
			return -1
		case a.Ratio.P > b.Ratio.P:
			return 1
		}
		return 0
	})
	least := 0.0
	for i, m := range sorted {
		least = max(least, min(1, m.Ratio.P*float64(len(sorted)-i)))
		m.AdjustedP = least
	}
}

// decide draws the verdict of one metric.
func (m *Metric) decide(rules Rules, together int) {
	effect := math.Log1p(m.Worse())
	bound := math.Log1p(rules.MinEffect)
	low, high := math.Log(m.Ratio.Low), math.Log(m.Ratio.High)
	significant := m.AdjustedP <= rules.Level && math.Abs(effect) >= bound
	// More restarts would make the latter significant, and let it wander as much.
	m.wanders = significant && m.untold || math.Abs(effect) >= bound && math.Abs(effect) < math.Log1p(m.Wander)
	switch {
	case significant && !m.wanders && effect > 0:
		m.Verdict = Regression
	case significant && !m.wanders:
		m.Verdict = Improvement
	case low > -bound && high < bound && m.restarts >= fewest:
		m.Verdict = NoChange
	default:
		m.Verdict = Inconclusive
		if !m.wanders {
			m.More = m.more(effect, bound, (high-low)/2, rules.Level/float64(together))
		}
	}
}

// more is how many more restarts a side would decide if what they show stays as it
// is: intervals narrow with the square root of their number.
func (m *Metric) more(effect, bound, half, level float64) int {
	distance := bound - math.Abs(effect) // to an interval that is within the bounds
	if distance < 0 {
		// The interval of a difference that is as improbable as the level is wider than
		// one of 95 %.
		distance = math.Abs(effect) * normal975 / normalQuantile(1-level/2)
	}
	if distance <= 0 {
		return 0
	}
	m.wide = half > distance && math.Abs(effect) < bound/2
	n := float64(m.restarts)
	wanted := max(n, fewest) * (half / distance) * (half / distance)
	wanted = max(wanted, float64(telling(level)))
	if more := math.Ceil(wanted - n); more <= MostMore {
		return max(int(more), 1)
	}
	return 0
}

// telling is the least number of restarts a side that can be as improbable as the
// level: when all of one side are above all of the other, 2 of the ways to share them out.
func telling(level float64) int {
	n, ways := 1, 2.0
	for ; 2/ways > level; n++ {
		ways *= float64((2*n+1)*(2*n+2)) / float64((n+1)*(n+1))
	}
	return n
}

// conclude draws the verdict of a benchmark from its metrics: the worst of those
// that are decided, and none where a side is not to be trusted.
func (b *Benchmark) conclude() {
	switch {
	case b.Reason != "":
		b.Verdict = Inconclusive
		return
	case len(b.Metrics) == 0:
		b.Verdict, b.Reason = Inconclusive, "nothing was measured on both sides"
		return
	}
	b.Verdict = NoChange
	for _, m := range b.Metrics {
		if m.Verdict.rank() < b.Verdict.rank() {
			b.Verdict = m.Verdict
		}
	}
	if b.Verdict == Inconclusive {
		b.Reason = b.advice()
		if b.fewer != "" {
			b.Reason += " (" + b.fewer + ")"
		}
	}
}

// advice says what would decide what is not decided.
func (b *Benchmark) advice() string {
	most := 0
	for _, m := range b.Metrics {
		switch {
		case m.Verdict != Inconclusive:
		case m.wanders && m.untold:
			return fmt.Sprintf("%s differs by %.1f %%, and one of the runs, of an older loopcheck, does not tell how steep its tail is: measure it anew", m.Quantity, 100*math.Abs(m.Worse()))
		case m.wanders:
			return fmt.Sprintf("%s differs by %.1f %%, and runs at different times may by %.0f %% although nothing changed: measure both in turns (loopcheck bench --ab)", m.Quantity, 100*math.Abs(m.Worse()), 100*m.Wander)
		case m.More == 0 && m.wide:
			return fmt.Sprintf("the restarts vary too much to tell, of %s most: more than %d more a side would have to decide", m.Quantity, MostMore)
		case m.More == 0:
			return fmt.Sprintf("%s differs by about as much as counts: more than %d more restarts a side would have to decide", m.Quantity, MostMore)
		default:
			most = max(most, m.More)
		}
	}
	return fmt.Sprintf("the restarts vary too much to tell: about %d more a side would decide", most)
}
