package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

// alikeValues are about a middle; each keeps a share of how the one before deviated.
func alikeValues(source *rand.Rand, n int, middle, alike float64) []float64 {
	deviation := source.NormFloat64()
	values := make([]float64, n)
	for i := range values {
		deviation = alike*deviation + math.Sqrt(1-alike*alike)*source.NormFloat64()
		values[i] = middle * math.Exp(0.02*deviation)
	}
	return values
}

// Restarts that are alike count for fewer.
func TestLikeness(t *testing.T) {
	source := rand.New(rand.NewPCG(3, 5))
	for _, c := range []struct{ alike, least, most float64 }{{0, 1, 1.5}, {0.8, 4, 16}} {
		sum := 0.0
		const times = 50
		for range times {
			sum += likeness(alikeValues(source, 200, 1, c.alike))
		}
		if mean := sum / times; mean < c.least || mean > c.most {
			t.Errorf("of a likeness of %v, %.2f restarts count for one; want %v to %v", c.alike, mean, c.least, c.most)
		}
	}
	if got := likeness([]float64{1, 1, 1, 1}); got != 1 {
		t.Errorf("equal values are alike by %v", got)
	}
}

// Which of two runs is the slower makes no difference to how probable that is, however
// far apart they are: no more than the rounding of a probability that is nearly 1.
func TestRunsRatioIsTheSameBothWays(t *testing.T) {
	source := rand.New(rand.NewPCG(3, 5))
	for _, n := range []int{2, 30, 60, 200} {
		for _, times := range []float64{1.01, 1.2, 10} {
			for _, alike := range []float64{0, 0.9} {
				base, after := alikeValues(source, n, 1, alike), alikeValues(source, n, times, alike)
				one, other := RunsRatio(after, base), RunsRatio(base, after)
				if one.P <= 0 || math.Abs(math.Log(one.P/other.P)) > 0.2 {
					t.Errorf("%d restarts, %v times: P is %v and %v", n, times, one.P, other.P)
				}
				if !(one.Low <= one.Value && one.Value <= one.High) || math.Abs(one.Value*other.Value-1) > 1e-9 {
					t.Errorf("%d restarts, %v times: %+v and %+v", n, times, one, other)
				}
			}
		}
	}
}

func TestDoubt(t *testing.T) {
	clean := Restart{P50NS: 1}
	stolen := Restart{P50NS: 1, Taint: []string{TaintSteal}}
	taken := Restart{P50NS: 1, Loss: Loss{Others: 1e9, Available: 2e9, Counts: 1}}
	for _, c := range []struct {
		restarts []Restart
		want     string
	}{
		{nil, ""},
		{[]Restart{clean, stolen}, ""},
		{[]Restart{clean, stolen, stolen}, "2 of 3 restarts are tainted: steal"},
		{[]Restart{taken, taken, taken, taken}, "other processes used 50 % of the processors' time in the restarts that count"},
	} {
		if got := Doubt(c.restarts); got != c.want {
			t.Errorf("%d restarts: %q, want %q", len(c.restarts), got, c.want)
		}
	}
}
