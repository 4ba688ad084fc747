package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// percentiles are those that a result may hold, by the key it has in the
// report.
var percentiles = []struct {
	key        string
	percentile float64
	// beyond is the share of samples above it: one in that many.
	beyond int64
}{
	{"p50_ns", 50, 2},
	{"p90_ns", 90, 10},
	{"p99_ns", 99, 100},
	{"p99.9_ns", 99.9, 1_000},
	{"p99.99_ns", 99.99, 10_000},
}

// minBeyond is how many samples have to lie beyond a percentile for it to be
// given: with fewer it is the luck of a handful of samples. So p99 takes 1,000
// samples, p99.9 takes 10,000 and p99.99 takes 100,000.
const minBeyond = 10

// quantiles returns the percentiles that the samples can bear, and the largest
// sample.
func quantiles(h *hdrhistogram.Histogram) map[string]float64 {
	found := map[string]float64{}
	if h.TotalCount() == 0 {
		return found
	}
	for _, p := range percentiles {
		if h.TotalCount() >= minBeyond*p.beyond {
			found[p.key] = float64(h.ValueAtPercentile(p.percentile))
		}
	}
	found["max_ns"] = float64(h.Max())
	return found
}

// maxTaintedShare is the share of restarts that may be tainted: where more are,
// those that are not were picked from a machine that was seldom quiet.
const maxTaintedShare = 0.5

// Doubt is why restarts of one run are not to be trusted together; empty where they
// are.
func Doubt(restarts []Restart) string {
	var clean Loss
	var reasons []string
	tainted := 0
	for _, r := range restarts {
		if len(r.Taint) == 0 {
			clean.add(r.Loss)
			continue
		}
		tainted++
		reasons = append(reasons, r.Taint...)
	}
	if n := len(restarts); float64(tainted) > maxTaintedShare*float64(n) {
		return fmt.Sprintf("%d of %d restarts are tainted: %s", tainted, n, eachOnce(reasons))
	}
	return clean.doubt()
}

// window is what one restart measured.
type window struct {
	meter
	round  int
	used   usage
	seen   surrounding
	loss   Loss
	pace   time.Duration
	steady bool
	taint  []string
}

func newWindow() window { return window{meter: meter{hist: newHistogram(), service: newHistogram()}} }

// restart describes a window. Its percentiles are those of the samples it has,
// however few.
func (w *window) restart() Restart {
	r := Restart{
		Round:    w.round,
		Pace:     w.pace,
		Count:    w.hist.TotalCount(),
		Duration: w.elapsed,
		P50NS:    float64(w.hist.ValueAtPercentile(50)),
		P90NS:    float64(w.hist.ValueAtPercentile(90)),
		P99NS:    float64(w.hist.ValueAtPercentile(99)),
		P98NS:    float64(w.hist.ValueAtPercentile(98)),
		P995NS:   float64(w.hist.ValueAtPercentile(99.5)),
		Loss:     w.loss,
		Taint:    w.taint,
	}
	if r.Count > 0 {
		r.CPUNSPerOp = float64(w.used.CPU.Nanoseconds()) / float64(r.Count)
	}
	if w.bytes > 0 && w.elapsed > 0 {
		r.BytesPerS = float64(w.bytes) / w.elapsed.Seconds()
	}
	return r
}

// sum adds up windows, so that memory does not grow with their number.
type sum struct {
	hist, service *hdrhistogram.Histogram
	duration      time.Duration
	used          usage
	seen          surrounding
	loss          Loss
	lost, bytes   int64
	late          time.Duration
	punctual      int64
	unsteady      int
}

func newSum() *sum { return &sum{hist: newHistogram(), service: newHistogram()} }

func (s *sum) add(w *window) error {
	if dropped := s.hist.Merge(w.hist) + s.service.Merge(w.service); dropped > 0 {
		return fmt.Errorf("merging restarts: %d samples do not fit", dropped)
	}
	s.duration += w.elapsed
	s.used.add(w.used)
	s.seen.add(w.seen)
	s.loss.add(w.loss)
	s.lost += w.lost
	s.bytes += w.bytes
	s.late += w.late
	s.punctual += w.punctual
	if !w.steady {
		s.unsteady++
	}
	return nil
}

// tally gathers the windows of one benchmark.
type tally struct {
	spec     Spec
	restarts []Restart
	clean    *sum // of windows that are not tainted
	tainted  *sum
}

func newTally(s Spec) *tally { return &tally{spec: s, clean: newSum(), tainted: newSum()} }

func (t *tally) add(w *window) error {
	t.restarts = append(t.restarts, w.restart())
	if len(w.taint) > 0 {
		return t.tainted.add(w)
	}
	return t.clean.add(w)
}

// medians are those of the restarts that count: all, where all are tainted.
func (t *tally) medians() []float64 {
	var clean, all []float64
	for _, r := range t.restarts {
		all = append(all, r.P50NS)
		if len(r.Taint) == 0 {
			clean = append(clean, r.P50NS)
		}
	}
	if len(clean) == 0 {
		return all
	}
	return clean
}

// result sums up what there is so far.
func (t *tally) result() (Result, error) {
	r := Result{Name: t.spec.Name(), Spec: t.spec, Restarts: slices.Clone(t.restarts), Taint: map[string]int{}}
	clean := 0
	for _, restart := range t.restarts {
		for _, reason := range restart.Taint {
			r.Taint[reason]++
		}
		if len(restart.Taint) == 0 {
			clean++
		}
	}
	counted := t.clean
	if clean == 0 {
		counted = t.tainted
	}
	r.Inconclusive = Doubt(t.restarts)
	r.Count = counted.hist.TotalCount()
	r.Percentiles = quantiles(counted.hist)
	r.MedianNS, r.CI95 = median(t.medians()), medianInterval(t.medians())
	r.Lost = counted.lost
	if t.spec.RateHz > 0 {
		r.Service = quantiles(counted.service)
	}
	if r.Count > 0 {
		r.MeanNS = counted.hist.Mean()
		r.CPUNSPerOp = float64(counted.used.CPU.Nanoseconds()) / float64(r.Count)
		r.ModesNS = modes(counted.hist)
	}
	if counted.duration > 0 {
		r.RatePerS = float64(r.Count) / counted.duration.Seconds()
		r.BytesPerS = float64(counted.bytes) / counted.duration.Seconds()
	}
	r.Conditions = counted.conditions()
	encoded, err := counted.hist.EncodeV2()
	if err != nil {
		return r, fmt.Errorf("encoding the histogram: %w", err)
	}
	r.Histogram = string(encoded)
	return r, nil
}

func (s *sum) conditions() Conditions {
	c := Conditions{
		Steal: s.seen.stealTime.Seconds(), Pressure: -1, Waiting: -1, Taken: -1,
		Migrations: s.used.Migrations, Collections: s.seen.collections, Counters: s.seen.moved,
		Together: s.used.Together, Looks: s.used.Looks,
		ClientCPUs: s.used.ClientSeen, ServerCPUs: s.used.Seen,
		Unsteady: s.unsteady,
	}
	if seconds := s.duration.Seconds(); seconds > 0 {
		c.Steal /= seconds
		if s.used.Waiting >= 0 {
			c.Waiting = s.used.Waiting.Seconds() / seconds
		}
		if s.loss.Counts > 0 {
			c.Taken = (s.loss.Stolen + max(0, s.loss.Others)).Seconds() / seconds
		}
		if s.seen.pressureTold {
			c.Pressure = min(1, s.seen.pressureTime.Seconds()/seconds)
		}
	}
	if n := float64(s.hist.TotalCount()); n > 0 {
		c.VoluntaryPerOp = float64(s.used.Voluntary) / n
		c.InvoluntaryPerOp = float64(s.used.Involuntary) / n
		c.AllocsPerOp = float64(s.seen.allocs) / n
	}
	if s.punctual > 0 {
		c.LateNS = float64(s.late.Nanoseconds()) / float64(s.punctual)
	}
	return c
}
