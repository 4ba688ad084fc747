package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// skewed is a value of noise that looks like that of restarts: never much below
// what is usual, above it at times, now and then far above.
func skewed(source *rand.Rand) float64 {
	v := 1 + 0.03*math.Abs(source.NormFloat64())
	if source.IntN(8) == 0 {
		v *= 1 + source.ExpFloat64()
	}
	return v
}

// The interval of 95 % holds the true ratio in 93 to 97 % of comparisons of as many
// rounds as are usual, whatever the noise looks like.
func TestIntervalsCoverWhatTheySay(t *testing.T) {
	const comparisons, truth = 500, 1.05
	for name, noise := range map[string]func(*rand.Rand) float64{
		"skewed":     skewed,
		"log-normal": func(source *rand.Rand) float64 { return math.Exp(0.5 * source.NormFloat64()) },
	} {
		source := rand.New(rand.NewPCG(11, 13))
		held := 0
		for range comparisons {
			of, to := make([]float64, DefaultRounds), make([]float64, DefaultRounds)
			for i := range of {
				of[i], to[i] = truth*13_000*noise(source), 13_000*noise(source)
			}
			if r := ratio(of, to); r.Low <= truth && truth <= r.High {
				held++
			}
		}
		if share := float64(held) / comparisons; share < 0.93 || share > 0.97 {
			t.Errorf("%s: %.1f %% of the intervals of 95 %% hold the true ratio", name, 100*share)
		}
	}
}

// ratio draws without sorting; this sorts each draw.
func TestRatioIsThatOfDrawsSorted(t *testing.T) {
	for _, n := range []int{1, 2, 5, 6, 29, 30} {
		source := rand.New(rand.NewPCG(3, uint64(n)))
		of, to := make([]float64, n), make([]float64, n)
		for i := range n {
			of[i], to[i] = math.Round(100*skewed(source)), math.Round(90*skewed(source)) // with ties
		}
		source = rand.New(rand.NewPCG(1, 2))
		var ratios []float64
		for range draws {
			var a, b []float64
			for range n {
				round := source.IntN(n)
				a, b = append(a, of[round]), append(b, to[round])
			}
			ratios = append(ratios, median(a)/median(b))
		}
		slices.Sort(ratios)
		want := Ratio{Value: median(of) / median(to), Low: ratios[draws*25/1000], High: ratios[draws*975/1000-1]}
		got := ratio(of, to)
		if want.P = got.P; got != want {
			t.Errorf("of %d rounds ratio is %+v, want %+v", n, got, want)
		}
	}
}

// Known values of the test of Mann and Whitney: of two samples that do not overlap,
// of all ways to divide them only two are as extreme.
func TestPIsThatOfTheUTest(t *testing.T) {
	low, high := []float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}
	if p := ratio(high, low).P; math.Abs(p-2./252) > 1e-9 {
		t.Errorf("P of sides that do not overlap is %v, want 2/252", p)
	}
	if p := ratio([]float64{1, 4, 5, 8, 9, 12}, []float64{2, 3, 6, 7, 10, 11}).P; p < 0.9 {
		t.Errorf("P of sides that lie between each other is %v", p)
	}
}
