package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

// run makes restarts whose medians are drawn about a middle: each keeps a share of
// how the one before it deviated.
func run(source *rand.Rand, name string, n int, middle, spread, alike float64) bench.Result {
	r := bench.Result{Name: name}
	deviation := source.NormFloat64()
	for range n {
		deviation = alike*deviation + math.Sqrt(1-alike*alike)*source.NormFloat64()
		p50 := middle * math.Exp(spread*deviation)
		r.Restarts = append(r.Restarts, bench.Restart{
			Count: 1000, Duration: time.Duration(1000 * p50), P50NS: p50, P90NS: 1.2 * p50, P99NS: 2 * p50 * math.Exp(0.1*source.NormFloat64()), CPUNSPerOp: p50,
		})
	}
	return r
}

// verdictsOf counts those of comparisons of as many restarts a side, of which the new
// take longer by a share.
func verdictsOf(t *testing.T, comparisons, n int, effect, alike float64, rules Rules) map[Verdict]int {
	t.Helper()
	source := rand.New(rand.NewPCG(5, 7))
	counts := map[Verdict]int{}
	for k := range comparisons {
		name := fmt.Sprint(k)
		b := Pairs([]Pair{{run(source, name, n, 14_000, 0.075, alike), run(source, name, n, 14_000*(1+effect), 0.075, alike)}}, rules)
		counts[b[0].Verdict]++
	}
	return counts
}

func TestADifferenceIsFoundAndNoneIsNot(t *testing.T) {
	rules := Rules{DefaultMinEffect, DefaultLevel}
	const comparisons = 40
	if got := verdictsOf(t, comparisons, 40, 0, 0, rules); got[Regression]+got[Improvement] > 1 {
		t.Errorf("of what does not differ: %v", got)
	}
	if got := verdictsOf(t, comparisons, 40, 0.15, 0, rules); got[Regression] < comparisons-3 {
		t.Errorf("of what takes 15 %% longer: %v", got)
	}
	if got := verdictsOf(t, comparisons, 40, -0.13, 0, rules); got[Improvement] < comparisons-3 {
		t.Errorf("of what takes 13 %% less: %v", got)
	}
}
