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
	h := newHistogram()
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
	h := newHistogram()
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

// measured is a window of equal samples.
func measured(t *testing.T, count, value int64, cpu time.Duration, taint ...string) *window {
	w := &window{steady: true, taint: taint, used: usage{CPU: cpu}}
	w.hist, w.service, w.elapsed = histogram(t, count, value), newHistogram(), time.Second
	return w
}

func summed(t *testing.T, windows ...*window) Result {
	t.Helper()
	all := newTally(Spec{Transport: TCP}.WithDefaults())
	for _, w := range windows {
		if err := all.add(w); err != nil {
			t.Fatal(err)
		}
	}
	r, err := all.result()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestATaintedRestartIsKeptAndNotMerged(t *testing.T) {
	r := summed(t,
		measured(t, 100, 1000, 100*time.Microsecond),
		measured(t, 900, 9000, time.Second, TaintSteal, TaintPressure),
		measured(t, 300, 2000, 300*time.Microsecond),
	)
	if len(r.Restarts) != 3 || r.Restarts[1].Count != 900 || len(r.Restarts[1].Taint) != 2 {
		t.Errorf("restarts are %+v, want all three, the second with both reasons", r.Restarts)
	}
	if r.Count != 400 || r.RatePerS != 200 || r.CPUNSPerOp != 1000 {
		t.Errorf("%d samples, %v a second, %v ns of CPU each; want 400, 200 and 1000 of the trusted two", r.Count, r.RatePerS, r.CPUNSPerOp)
	}
	if want := map[string]int{TaintSteal: 1, TaintPressure: 1}; !maps.Equal(r.Taint, want) {
		t.Errorf("taint is %v, want %v", r.Taint, want)
	}
	if r.Inconclusive != "" {
		t.Errorf("one of three tainted is inconclusive: %s", r.Inconclusive)
	}
}

func TestMostRestartsTaintedIsInconclusive(t *testing.T) {
	r := summed(t, measured(t, 100, 1000, 0), measured(t, 100, 1000, 0, TaintSteal), measured(t, 100, 1000, 0, TaintGC))
	if want := "2 of 3 restarts are tainted: gc, steal"; r.Inconclusive != want {
		t.Errorf("inconclusive is %q, want %q", r.Inconclusive, want)
	}
}

// What short windows cannot tell by themselves their sum does, and what ticks alone
// make of it is no reason.
func TestRestartsTogetherTellOfOthers(t *testing.T) {
	const length = 20 * time.Millisecond
	for name, c := range map[string]struct {
		stolen, others time.Duration // of each window
		windows        int
		want           string
	}{
		"quiet":               {0, time.Millisecond, 10, ""},
		"a tick now and then": {0, 2 * time.Millisecond, 10, ""},
		"a busy loop":         {0, 8 * time.Millisecond, 10, "other processes used 40 % of the processors' time in the restarts that count"},
		"a busy loop, once":   {0, 8 * time.Millisecond, 1, ""},
		"stolen":              {6 * time.Millisecond, 0, 10, "the hypervisor kept 30 % of the processors' time in the restarts that count"},
		"a little, for long":  {0, 3 * time.Millisecond, 1000, "other processes used 15 % of the processors' time in the restarts that count"},
	} {
		var windows []*window
		for range c.windows {
			w := measured(t, 100, 1000, 0)
			w.loss = Loss{c.stolen, c.others, length, 1}
			if reasons := w.loss.taint(); len(reasons) > 0 {
				t.Fatalf("%s: one window is tainted: %v", name, reasons)
			}
			windows = append(windows, w)
		}
		if r := summed(t, windows...); r.Inconclusive != c.want {
			t.Errorf("%s: inconclusive is %q, want %q", name, r.Inconclusive, c.want)
		}
	}
}

func TestWhereEveryRestartIsTaintedAllCount(t *testing.T) {
	r := summed(t, measured(t, 100, 1000, 0, TaintSteal), measured(t, 300, 1000, 0, TaintSteal))
	if r.Count != 400 || r.Taint[TaintSteal] != 2 || r.Inconclusive == "" {
		t.Errorf("%d samples with taint %v, inconclusive %q; want 400, 2 for steal, and a reason", r.Count, r.Taint, r.Inconclusive)
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
	const second = time.Second
	start := time.Now()
	before := surroundings{cpu: counters.CPU{At: start}, perCPU: counters.PerCPU{0: {}, 1: {}, 2: {}}, gc: 7}
	after := func(change func(*surroundings)) surroundings {
		s := surroundings{cpu: counters.CPU{At: start.Add(second)}, perCPU: counters.PerCPU{0: {}, 1: {}, 2: {}}, gc: 7}
		change(&s)
		return s
	}
	spent := func(cpu int, t counters.CPUTime) func(*surroundings) {
		return func(s *surroundings) { s.perCPU[cpu] = t }
	}
	// The benchmark is on processors 0 and 1 and used 600 ms of two seconds.
	const own = 600 * time.Millisecond
	for _, tc := range []struct {
		name   string
		change func(*surroundings)
		want   []string
	}{
		{"quiet", func(*surroundings) {}, nil},
		{"steal at its bound, and a tick", spent(0, counters.CPUTime{Steal: 30 * time.Millisecond}), nil},
		{"steal above", spent(1, counters.CPUTime{Steal: 40 * time.Millisecond}), []string{TaintSteal}},
		{"steal of another processor", spent(2, counters.CPUTime{Steal: second}), nil},
		{"its own time", spent(0, counters.CPUTime{User: 100 * time.Millisecond, System: 500 * time.Millisecond}), nil},
		{"others at the bound", spent(0, counters.CPUTime{User: own + 250*time.Millisecond + countedInTicks}), nil},
		{"others above", spent(0, counters.CPUTime{System: own + 260*time.Millisecond + countedInTicks}), []string{TaintPressure}},
		{"others on another processor", spent(2, counters.CPUTime{User: second}), nil},
		{"nothing told", func(s *surroundings) { s.perCPU = nil }, nil},
		{"a collection", func(s *surroundings) { s.gc++ }, []string{TaintGC}},
		{"everything", func(s *surroundings) {
			s.perCPU[0], s.gc = counters.CPUTime{Steal: second, Nice: 2 * second}, 9
		}, []string{TaintSteal, TaintPressure, TaintGC}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, got := before.taint(after(tc.change), own, []int{0, 1}); !slices.Equal(got, tc.want) {
				t.Errorf("taint is %v, want %v", got, tc.want)
			}
		})
	}
	// Where the scheduler chooses, all processors are asked.
	if _, got := before.taint(after(spent(2, counters.CPUTime{User: 2 * second})), own, nil); !slices.Equal(got, []string{TaintPressure}) {
		t.Errorf("taint of a free placement is %v, want %q", got, TaintPressure)
	}
}

func TestLoss(t *testing.T) {
	const ms = time.Millisecond
	before := surroundings{perCPU: counters.PerCPU{0: {}, 1: {}, 2: {}}}
	after := surroundings{perCPU: counters.PerCPU{
		0: {User: 30 * ms, Nice: 10 * ms, System: 20 * ms, Steal: 40 * ms, Idle: time.Second},
		1: {User: 100 * ms},
		2: {User: 500 * ms, Steal: 500 * ms},
	}}
	const own = 60 * ms
	for _, tc := range []struct {
		name       string
		processors []int
		want       Loss
	}{
		{"one", []int{0}, Loss{40 * ms, 0, 0, 1}},
		{"two", []int{0, 1}, Loss{40 * ms, 100 * ms, 0, 2}},
		{"free", nil, Loss{540 * ms, 600 * ms, 0, 3}},
		{"one that is not told of", []int{7}, Loss{}},
	} {
		if got := before.loss(after, own, tc.processors); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestConditionsSayWhatWasTaken(t *testing.T) {
	s := newSum()
	s.duration = 2 * time.Second
	if got := s.conditions().Taken; got != -1 {
		t.Errorf("taken %v where it is not told, want -1", got)
	}
	s.loss.add(Loss{Stolen: time.Second, Counts: 1})
	s.loss.add(Loss{Others: 2 * time.Second, Counts: 1})
	if got := s.conditions().Taken; got != 1.5 {
		t.Errorf("taken %v, want 1.5: three seconds of processors in two", got)
	}
}
