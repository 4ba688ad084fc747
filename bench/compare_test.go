package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// madeUp is a side without a machine.
type madeUp struct {
	name    string
	restart func(round int) (Restart, error)
	rounds  *[]string // name and round of every restart, in order
}

func (m madeUp) Name() string    { return m.name }
func (madeUp) Processors() []int { return nil }

func (m madeUp) Restart(_ context.Context, round int) (Restart, error) {
	if m.rounds != nil {
		*m.rounds = append(*m.rounds, fmt.Sprintf("%s%d", m.name, round))
	}
	return m.restart(round)
}

// unobserved takes restarts as they are: what runs beside a test is not its subject.
func unobserved(ctx context.Context, s Side, round int) (Restart, error) {
	return s.Restart(ctx, round)
}

func takes(p50 float64, taint ...string) (Restart, error) {
	return Restart{Count: 1000, Duration: time.Second, P50NS: p50, P90NS: 2 * p50, P99NS: 3 * p50, Taint: taint}, nil
}

func TestSidesTakeTurnsABBA(t *testing.T) {
	var order []string
	same := func(int) (Restart, error) { return takes(1000) }
	sides := []Side{madeUp{"a", same, &order}, madeUp{"b", same, &order}, madeUp{"c", same, &order}}
	if _, err := compare(t.Context(), sides, Rounds{Kept: 3}, unobserved); err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields("a0 b0 c0 c1 b1 a1 a2 b2 c2"); !slices.Equal(order, want) {
		t.Errorf("restarts were %v, want %v", order, want)
	}
}

func TestATaintedRoundIsDiscardedForAllSides(t *testing.T) {
	sides := []Side{
		madeUp{"a", func(round int) (Restart, error) {
			if round == 1 {
				return takes(90_000, TaintSteal)
			}
			return takes(1000)
		}, nil},
		madeUp{"b", func(round int) (Restart, error) {
			switch round {
			case 1:
				return takes(70_000) // quiet, but beside one that was not
			case 3:
				return takes(80_000, TaintSteal, TaintPressure)
			}
			return takes(2000)
		}, nil},
	}
	c, err := compare(t.Context(), sides, Rounds{Kept: 6}, unobserved)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kept != 6 || c.Discarded != 2 || c.Taint[TaintSteal] != 2 || c.Taint[TaintPressure] != 1 || c.Inconclusive != "" {
		t.Errorf("%d kept, %d discarded for %v, inconclusive %q; want 6 and 2, two of them for steal, one for pressure", c.Kept, c.Discarded, c.Taint, c.Inconclusive)
	}
	for _, s := range c.Sides {
		if len(s.Restarts) != 8 {
			t.Errorf("%s has %d restarts, want those of all 8 rounds", s.Name, len(s.Restarts))
		}
	}
	if r, told := c.Ratio(P50, 1, 0); !told || r.Value != 2 || r.Low != 2 || r.High != 2 {
		t.Errorf("ratio is %+v, want 2 exactly: a discarded round counts for one side", r)
	}
}

func TestMostRoundsDiscardedIsInconclusive(t *testing.T) {
	made := 0
	sides := []Side{
		madeUp{"a", func(int) (Restart, error) { made++; return takes(1000) }, nil},
		madeUp{"b", func(round int) (Restart, error) {
			if round%4 != 0 {
				return takes(1000, TaintSteal)
			}
			return takes(1000)
		}, nil},
	}
	c, err := compare(t.Context(), sides, Rounds{Kept: 10}, unobserved)
	if err != nil {
		t.Fatal(err)
	}
	if want := "5 of the 10 rounds wanted count: 15 of 20 are tainted: steal"; c.Inconclusive != want {
		t.Errorf("inconclusive is %q, want %q", c.Inconclusive, want)
	}
	if made != 20 {
		t.Errorf("%d rounds were made, want twice those wanted", made)
	}
	if len(c.Metrics) == 0 {
		t.Error("what counts is not summed up")
	}
}

func TestAFailureLeavesTheRoundsThatWereComplete(t *testing.T) {
	broken := errors.New("broken")
	sides := []Side{
		madeUp{"a", func(int) (Restart, error) { return takes(1000) }, nil},
		madeUp{"b", func(round int) (Restart, error) {
			if round == 2 {
				return Restart{}, broken
			}
			return takes(1000)
		}, nil},
	}
	c, err := compare(t.Context(), sides, Rounds{Kept: 5}, unobserved)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "b, round 3") {
		t.Errorf("error is %v, want %v of b in round 3", err, broken)
	}
	if c.Kept != 2 || len(c.Sides[0].Restarts) != 2 || len(c.Sides[1].Restarts) != 2 || c.Inconclusive == "" {
		t.Errorf("%d kept, %d and %d restarts, inconclusive %q; want two complete rounds, which are not enough", c.Kept, len(c.Sides[0].Restarts), len(c.Sides[1].Restarts), c.Inconclusive)
	}
}

func TestTheContextEndsAComparison(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sides := []Side{
		madeUp{"a", func(int) (Restart, error) { return takes(1000) }, nil},
		madeUp{"b", func(int) (Restart, error) { cancel(); return takes(1000) }, nil},
	}
	c, err := compare(ctx, sides, Rounds{Kept: 5}, unobserved)
	if !errors.Is(err, context.Canceled) || c.Kept != 1 {
		t.Errorf("%d rounds and error %v; want one round and %v", c.Kept, err, context.Canceled)
	}
}

func TestACompareTakesTwoSides(t *testing.T) {
	if _, err := Compare(t.Context(), []Side{madeUp{name: "a"}}, Rounds{Kept: 1}); err == nil {
		t.Error("one side was compared")
	}
	if _, err := Compare(t.Context(), []Side{madeUp{name: "a"}, madeUp{name: "b"}}, Rounds{}); err == nil {
		t.Error("no round was enough")
	}
}

// What one side does not tell is compared of none.
func TestAQuantityTakesAllSides(t *testing.T) {
	full := func(int) (Restart, error) {
		return Restart{Count: 1000, Duration: time.Second, P50NS: 1, P90NS: 2, P99NS: 3, CPUNSPerOp: 4}, nil
	}
	rateAlone := func(int) (Restart, error) { return Restart{Count: 500, Duration: time.Second}, nil }
	c, err := compare(t.Context(), []Side{madeUp{"a", full, nil}, madeUp{"b", rateAlone, nil}, madeUp{"c", full, nil}}, Rounds{Kept: 6}, unobserved)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Metrics) != 1 || c.Metrics[0].Quantity != Rate || c.Metrics[0].Ratios[1].Value != 0.5 {
		t.Errorf("metrics are %+v, want the rate alone, of which b has half", c.Metrics)
	}
	if _, told := c.Ratio(P50, 0, 1); told {
		t.Error("a median that b does not tell was compared")
	}
	if r, told := c.Ratio(CPU, 2, 0); !told || r.Value != 1 {
		t.Errorf("a and c tell of processor time: ratio is %+v", r)
	}
}

// Of sides whose true ratio is known, the interval of 95 % holds it about as often
// as it says, though sides drift and have outliers.
func TestIntervalsHoldTheTrueRatio(t *testing.T) {
	const comparisons, rounds = 120, 30
	for _, truth := range []float64{1, 1.05, 3} {
		source := rand.New(rand.NewPCG(7, uint64(truth*100)))
		held, significant := 0, 0
		for range comparisons {
			a, b := make([]float64, rounds), make([]float64, rounds)
			drift := 1.0
			for i := range rounds {
				// What both share, what each has of its own, and now and then an outlier.
				drift *= 1 + 0.01*source.NormFloat64()
				a[i] = 13_000 * drift * (1 + 0.05*source.NormFloat64())
				b[i] = truth * 13_000 * drift * (1 + 0.05*source.NormFloat64())
				if source.IntN(20) == 0 {
					b[i] *= 2
				}
			}
			r := ratio(b, a)
			if r.Low > r.Value || r.High < r.Value {
				t.Fatalf("%+v does not hold its own value", r)
			}
			if r.Low <= truth && truth <= r.High {
				held++
			}
			if r.P < 0.05 {
				significant++
			}
		}
		if share := float64(held) / comparisons; share < 0.88 {
			t.Errorf("a ratio of %v is held by %.0f %% of the intervals", truth, 100*share)
		}
		share := float64(significant) / comparisons
		if truth == 1 && share > 0.1 {
			t.Errorf("%.0f %% of the sides that are the same differ significantly", 100*share)
		}
		if truth == 3 && share < 1 {
			t.Errorf("%.0f %% of the sides that are three times as slow differ significantly", 100*share)
		}
	}
}

func TestARatioIsAlwaysTheSame(t *testing.T) {
	a, b := []float64{10, 12, 11, 13, 9, 10, 14}, []float64{20, 21, 25, 19, 22, 24, 23}
	first := ratio(b, a)
	if again := ratio(b, a); again != first {
		t.Errorf("ratio is %+v, then %+v", first, again)
	}
	if first.Value != 2 || first.P >= 0.05 {
		t.Errorf("ratio is %+v, want 2, significantly", first)
	}
	// Turned round, it is the inverse.
	if back := ratio(a, b); math.Abs(back.Value*first.Value-1) > 1e-9 || math.Abs(back.Low*first.High-1) > 0.02 {
		t.Errorf("ratio is %+v one way and %+v the other", first, back)
	}
	if one := ratio([]float64{3}, []float64{3}); one.Value != 1 || one.Low != 1 || one.High != 1 || one.P != 1 {
		t.Errorf("ratio of one round is %+v", one)
	}
}
