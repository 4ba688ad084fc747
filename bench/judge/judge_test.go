package judge

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

// run makes restarts whose medians are drawn about a middle.
func run(source *rand.Rand, name string, n int, middle, spread float64) bench.Result {
	r := bench.Result{Name: name}
	for range n {
		p50 := middle * math.Exp(spread*source.NormFloat64())
		r.Restarts = append(r.Restarts, bench.Restart{
			Count: 1000, Duration: time.Duration(1000 * p50), P50NS: p50, P90NS: 1.2 * p50, P99NS: 2 * p50, CPUNSPerOp: p50,
			P98NS: 1.98 * p50, P995NS: 2.02 * p50,
		})
	}
	return r
}

// verdictsOf counts those of comparisons of as many restarts a side, of which the new
// take longer by a share.
func verdictsOf(t *testing.T, comparisons, n int, effect, spread float64, rules Rules) map[Verdict]int {
	t.Helper()
	source := rand.New(rand.NewPCG(5, 7))
	counts := map[Verdict]int{}
	for k := range comparisons {
		name := fmt.Sprint(k)
		b := Pairs([]Pair{{run(source, name, n, 14_000, spread), run(source, name, n, 14_000*(1+effect), spread)}}, rules)
		counts[b[0].Verdict]++
	}
	return counts
}

func TestADifferenceIsFoundAndNoneIsNot(t *testing.T) {
	rules := Rules{DefaultMinEffect, DefaultLevel}
	const comparisons, spread = 40, 0.02
	if got := verdictsOf(t, comparisons, 40, 0, spread, rules); got[NoChange] != comparisons {
		t.Errorf("of what does not differ: %v", got)
	}
	if got := verdictsOf(t, comparisons, 40, 0.15, spread, rules); got[Regression] < comparisons-3 {
		t.Errorf("of what takes 15 %% longer: %v", got)
	}
	if got := verdictsOf(t, comparisons, 40, -0.13, spread, rules); got[Improvement] < comparisons-3 {
		t.Errorf("of what takes 13 %% less: %v", got)
	}
}

// Runs differ by as much as their restarts do, although chance does not explain it.
func TestRunsWander(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	b := Pairs([]Pair{{run(source, "one", 200, 14_000, 0.075), run(source, "one", 200, 14_000*1.12, 0.075)}}, Rules{DefaultMinEffect, DefaultLevel})[0]
	if p50 := b.Metrics[0]; p50.AdjustedP > DefaultLevel || p50.Wander < 0.15 || b.Verdict != Inconclusive || !strings.Contains(b.Reason, "bench --ab") {
		t.Errorf("%+v of %+v", b, p50)
	}
}

// No number of restarts tells a change from runs that wander as much, so none is
// advised.
func TestMoreRestartsDoNotHelpWhereRunsWander(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	for range 20 {
		b := Pairs([]Pair{{run(source, "one", 6, 14_000, 0.06), run(source, "one", 6, 14_000*1.1, 0.06)}}, Rules{DefaultMinEffect, DefaultLevel})[0]
		p50 := b.Metrics[0]
		if wanders := math.Abs(p50.Worse()) >= DefaultMinEffect && math.Abs(p50.Worse()) < p50.Wander; wanders && (p50.Verdict != Inconclusive || p50.More != 0 || !strings.Contains(b.Reason, "bench --ab")) {
			t.Errorf("%+v of %+v", b, p50)
		}
	}
}

// Rounds are judged though there are fewer than were wanted, unless most of them
// were disturbed.
func TestFewerRoundsThanWanted(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	base, slow, like := run(source, "one", 18, 14_000, 0.01), run(source, "one", 18, 28_000, 0.01), run(source, "one", 18, 14_000, 0.2)
	of := func(after bench.Result, kept, discarded int) bench.Comparison {
		return bench.Comparison{
			Kept: kept, Discarded: discarded, Inconclusive: "18 of the 30 rounds wanted count", Taint: map[string]int{},
			Sides: []bench.Compared{{Name: "one", Restarts: base.Restarts}, {Name: "one", Restarts: after.Restarts}},
		}
	}
	for _, c := range []struct {
		comparison bench.Comparison
		want       Verdict
		reason     string
	}{
		{of(slow, 18, 0), Regression, ""},
		{of(slow, 18, 18), Regression, ""},
		{of(slow, 18, 19), Inconclusive, "18 of the 30 rounds wanted count"},
		{of(like, 18, 0), Inconclusive, "more a side would decide (18 of the 30 rounds wanted count)"},
	} {
		b := Rounds([]bench.Comparison{c.comparison}, Rules{DefaultMinEffect, DefaultLevel})[0]
		if b.Verdict != c.want || !strings.HasSuffix(b.Reason, c.reason) || (c.reason == "") != (b.Reason == "") {
			t.Errorf("%d kept, %d discarded: %+v, want %s, %q", c.comparison.Kept, c.comparison.Discarded, b, c.want, c.reason)
		}
	}
}

// A steep tail moves with the share of samples that something disturbs.
func TestASteepTailWanders(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	tail := func(p98, p99, p995 float64) bench.Result {
		r := run(source, "one", 40, 5_000, 0.002)
		for i := range r.Restarts {
			r.Restarts[i].P98NS, r.Restarts[i].P99NS, r.Restarts[i].P995NS = p98, p99+float64(i*7%11), p995
		}
		return r
	}
	for _, c := range []struct {
		base, after bench.Result
		want        Verdict
	}{
		{tail(5_000, 5_100, 6_900), tail(5_100, 6_700, 6_900), Inconclusive},
		{tail(5_000, 5_100, 5_300), tail(6_300, 6_700, 6_900), Regression},
	} {
		for _, m := range Pairs([]Pair{{c.base, c.after}}, Rules{DefaultMinEffect, DefaultLevel})[0].Metrics {
			if m.Quantity == bench.P99 && m.Verdict != c.want {
				t.Errorf("p99 is %s, want %s: %+v", m.Verdict, c.want, m)
			}
		}
	}
}

// Fewer restarts than can be as improbable as the level are too few whatever they show.
func TestFewRestartsAreToldHowManyTell(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	b := Pairs([]Pair{{run(source, "one", 2, 14_000, 0.001), run(source, "one", 2, 28_000, 0.001)}}, Rules{DefaultMinEffect, DefaultLevel})[0]
	for _, m := range b.Metrics {
		if n := 2 + m.More; m.Verdict != Inconclusive || 2/float64(ways(n)) > DefaultLevel/5 {
			t.Errorf("%s: %s, %d more", m.Quantity, m.Verdict, m.More)
		}
	}
}

// ways is how many there are to share out 2n restarts to two sides.
func ways(n int) int64 {
	var all big.Int
	return all.Binomial(int64(2*n), int64(n)).Int64()
}

// One restart a side is no interval, so it does not show that nothing changed.
func TestOneRestartDecidesNothing(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	b := Pairs([]Pair{{run(source, "one", 1, 14_000, 0.001), run(source, "one", 1, 14_000, 0.001)}}, Rules{DefaultMinEffect, DefaultLevel})[0]
	if b.Verdict != Inconclusive {
		t.Errorf("%+v", b)
	}
}

// A p99 of a run that does not tell how steep its tail is makes no verdict, and is told.
func TestAnUntoldTailIsTold(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 7))
	base, after := run(source, "one", 40, 14_000, 0.002), run(source, "one", 40, 14_000, 0.002)
	for i := range after.Restarts {
		base.Restarts[i].P98NS, after.Restarts[i].P99NS = 0, 2*after.Restarts[i].P99NS
	}
	b := Pairs([]Pair{{base, after}}, Rules{DefaultMinEffect, DefaultLevel})[0]
	if b.Verdict != Inconclusive || !strings.Contains(b.Reason, "older loopcheck") {
		t.Errorf("%+v", b)
	}
}

// Runs that doubt themselves are both told, in order.
func TestDoubtsAreTold(t *testing.T) {
	b := Pairs([]Pair{{bench.Result{Inconclusive: "one"}, bench.Result{Inconclusive: "two"}}}, Rules{DefaultMinEffect, DefaultLevel})[0]
	if b.Reason != "the base run is: one; the new run is: two" {
		t.Errorf("reason %q", b.Reason)
	}
}
