package bench

import (
	"math"
	"testing"
)

func TestUncertaintyIsTheFartherEnd(t *testing.T) {
	r := Result{MedianNS: 100, CI95: Interval{LowNS: 98, HighNS: 105, Confidence: 0.95}}
	if got := r.Uncertainty(); math.Abs(got-0.05) > 1e-9 {
		t.Errorf("got %g, want 0.05", got)
	}
	r.CI95.Confidence = 0.9
	if got := r.Uncertainty(); !math.IsInf(got, 1) {
		t.Errorf("of an interval that holds with 90 %%: %g", got)
	}
	if got := (Result{}).Uncertainty(); !math.IsInf(got, 1) {
		t.Errorf("of nothing: %g", got)
	}
}

// What says how precise a result is agrees with what ends a measurement for it.
func TestUncertaintyAgreesWithPrecise(t *testing.T) {
	medians := []float64{97, 98, 99, 100, 100, 101, 102, 103, 99, 101}
	r := Result{MedianNS: median(medians), CI95: medianInterval(medians)}
	for _, share := range []float64{0.005, 0.011, 0.021, 0.031, 0.05} {
		if got, want := r.Uncertainty() <= share, precise(medians, share); got != want {
			t.Errorf("±%g: %v, want %v", share, got, want)
		}
	}
}

func TestCountedRestarts(t *testing.T) {
	r := Result{Restarts: []Restart{{P50NS: 1}, {P50NS: 2, Taint: []string{TaintGC}}}}
	if got := r.Counted(); len(got) != 1 || got[0].P50NS != 1 {
		t.Errorf("got %v", got)
	}
	r.Restarts[0].Taint = []string{TaintSteal}
	if got := r.Counted(); len(got) != 2 {
		t.Errorf("all are tainted, and %d count", len(got))
	}
}

func TestMissedRate(t *testing.T) {
	r := Result{Spec: Spec{RateHz: 1000}, Count: 10, RatePerS: 990}
	if r.MissedRate() {
		t.Error("99 % of the rate is missed")
	}
	if r.RatePerS = 900; !r.MissedRate() {
		t.Error("90 % of the rate is kept")
	}
	if r.RateHz = 0; r.MissedRate() {
		t.Error("back to back has no rate to miss")
	}
}

func TestSamplesForPercentiles(t *testing.T) {
	for key, want := range map[string]int64{"p50_ns": 20, "p99.9_ns": 10_000, "p99.99_ns": 100_000, "max_ns": 0} {
		if got := SamplesFor(key); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}
