package bench

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/loopcheck/loopcheck/probe/counters"
)

func histogram(t *testing.T, count, value int64) *hdrhistogram.Histogram {
	t.Helper()
	h := hdrhistogram.New(lowestNS, highestNS, digits)
	if err := h.RecordValues(value, count); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPercentilesAreGivenAsFarAsTheSamplesBear(t *testing.T) {
	all := []string{"p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "p99.99_ns"}
	for _, tc := range []struct {
		count int64
		given int // of all
	}{
		{1, 0},
		{19, 0},
		{20, 1},
		{100, 2},
		{999, 2},
		{1_000, 3},
		{9_999, 3},
		{10_000, 4},
		{99_999, 4},
		{100_000, 5},
	} {
		want := slices.Sorted(slices.Values(append(slices.Clone(all[:tc.given]), "max_ns")))
		got := slices.Sorted(maps.Keys(quantiles(histogram(t, tc.count, 5000))))
		if !slices.Equal(got, want) {
			t.Errorf("%d samples give %v, want %v", tc.count, got, want)
		}
	}
	if got := quantiles(histogram(t, 0, 0)); len(got) != 0 {
		t.Errorf("no samples give %v, want nothing", got)
	}
}

func TestPercentilesOfAKnownDistribution(t *testing.T) {
	h := hdrhistogram.New(lowestNS, highestNS, digits)
	for v := int64(1); v <= 100_000; v++ {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	got := quantiles(h)
	for key, want := range map[string]float64{
		"p50_ns": 50_000, "p90_ns": 90_000, "p99_ns": 99_000, "p99.9_ns": 99_900, "p99.99_ns": 99_990, "max_ns": 100_000,
	} {
		// Three digits: a thousandth of the value at most.
		if math.Abs(got[key]-want) > want/1000 {
			t.Errorf("%s of 1 to 100,000 is %v, want %v", key, got[key], want)
		}
	}
}

func TestATaintedRestartIsKeptAndNotMerged(t *testing.T) {
	var r Result
	err := r.summarize([]window{
		{hist: histogram(t, 100, 1000), duration: time.Second, cpu: 100 * time.Microsecond},
		{hist: histogram(t, 900, 9000), duration: time.Second, cpu: time.Second, taint: []string{TaintSteal, TaintPressure}},
		{hist: histogram(t, 300, 2000), duration: time.Second, cpu: 300 * time.Microsecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Restarts) != 3 || r.Restarts[1].Count != 900 || len(r.Restarts[1].Taint) != 2 {
		t.Errorf("restarts are %+v, want all three, the second with both reasons", r.Restarts)
	}
	if r.Count != 400 || r.RatePerS != 200 || r.CPUNSPerOp != 1000 {
		t.Errorf("%d samples, %v a second, %v ns of CPU each; want 400, 200 and 1000 of the trusted two", r.Count, r.RatePerS, r.CPUNSPerOp)
	}
	if want := map[string]int{TaintSteal: 1, TaintPressure: 1}; !maps.Equal(r.Taint, want) {
		t.Errorf("taint is %v, want %v", r.Taint, want)
	}
}

func TestWhereEveryRestartIsTaintedAllCount(t *testing.T) {
	var r Result
	err := r.summarize([]window{
		{hist: histogram(t, 100, 1000), duration: time.Second, taint: []string{TaintSteal}},
		{hist: histogram(t, 300, 1000), duration: time.Second, taint: []string{TaintSteal}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Count != 400 || r.Taint[TaintSteal] != 2 {
		t.Errorf("%d samples with taint %v, want 400 and 2 for steal", r.Count, r.Taint)
	}
}

func TestMedianInterval(t *testing.T) {
	upTo := func(n int) []float64 {
		var values []float64
		for i := n; i >= 1; i-- { // in an order that has to be mended
			values = append(values, float64(i))
		}
		return values
	}
	for _, tc := range []struct {
		restarts   int
		low, high  float64
		confidence float64
	}{
		{0, 0, 0, 0},
		{1, 1, 1, 0},
		{2, 1, 2, 0.5},
		{5, 1, 5, 0.9375},
		// From six on the binomial distribution allows 0.95: the whole range
		// misses the median with 2 × 0.5⁶, of ten the second to the ninth with
		// 2 × 11 × 0.5¹⁰.
		{6, 1, 6, 0.96875},
		{10, 2, 9, 0.978515625},
	} {
		got := medianInterval(upTo(tc.restarts))
		if got.LowNS != tc.low || got.HighNS != tc.high || math.Abs(got.Confidence-tc.confidence) > 1e-9 {
			t.Errorf("%d restarts: %+v, want %v to %v with %v", tc.restarts, got, tc.low, tc.high, tc.confidence)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%d restarts: %v", tc.restarts, err)
		}
	}
}

func TestTaint(t *testing.T) {
	start := time.Now()
	before := surroundings{cpu: counters.CPU{At: start}, gc: 7}
	after := func(change func(*surroundings)) surroundings {
		s := surroundings{cpu: counters.CPU{At: start.Add(time.Second)}, gc: 7}
		s.cpu.Stat.Idle = 200
		change(&s)
		return s
	}
	for _, tc := range []struct {
		name   string
		change func(*surroundings)
		want   []string
	}{
		{"quiet", func(*surroundings) {}, nil},
		{"steal at its bound", func(s *surroundings) { s.cpu.Stat = counters.Stat{Idle: 198, Steal: 2} }, nil},
		{"steal above", func(s *surroundings) { s.cpu.Stat = counters.Stat{Idle: 197, Steal: 3} }, []string{TaintSteal}},
		{"pressure at its bound", func(s *surroundings) { s.cpu.Pressure.Some = 250 * time.Millisecond }, nil},
		{"pressure above", func(s *surroundings) { s.cpu.Pressure.Some = 251 * time.Millisecond }, []string{TaintPressure}},
		{"pressure not to be had", func(s *surroundings) {
			s.cpu.Pressure.Some, s.cpu.PressureErr = time.Second, errUnreadable
		}, nil},
		{"steal not to be had", func(s *surroundings) {
			s.cpu.Stat, s.cpu.StatErr = counters.Stat{Steal: 10}, errUnreadable
		}, nil},
		{"a collection", func(s *surroundings) { s.gc++ }, []string{TaintGC}},
		{"everything", func(s *surroundings) {
			s.cpu.Stat.Steal, s.cpu.Pressure.Some, s.gc = 100, time.Second, 9
		}, []string{TaintSteal, TaintPressure, TaintGC}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := before.taint(after(tc.change)); !slices.Equal(got, tc.want) {
				t.Errorf("taint is %v, want %v", got, tc.want)
			}
		})
	}
}
