package bench

import (
	"fmt"
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

// summarize fills in the restarts and, from those that are not tainted, the
// figures of the whole.
func (r *Result) summarize(windows []window) error {
	r.Restarts = make([]Restart, 0, len(windows))
	r.Taint = map[string]int{}
	var trusted []window
	for _, w := range windows {
		r.Restarts = append(r.Restarts, w.restart())
		for _, reason := range w.taint {
			r.Taint[reason]++
		}
		if len(w.taint) == 0 {
			trusted = append(trusted, w)
		}
	}
	if len(trusted) == 0 {
		trusted = windows
	}

	merged := hdrhistogram.New(lowestNS, highestNS, digits)
	var medians []float64
	var duration, cpu time.Duration
	for _, w := range trusted {
		if dropped := merged.Merge(w.hist); dropped > 0 {
			return fmt.Errorf("merging restarts: %d samples do not fit", dropped)
		}
		medians = append(medians, float64(w.hist.ValueAtPercentile(50)))
		duration += w.duration
		cpu += w.cpu
	}
	r.Count = merged.TotalCount()
	r.Percentiles = quantiles(merged)
	r.CI95 = medianInterval(medians)
	if r.Count > 0 {
		r.MeanNS = merged.Mean()
		r.CPUNSPerOp = float64(cpu.Nanoseconds()) / float64(r.Count)
	}
	if duration > 0 {
		r.RatePerS = float64(r.Count) / duration.Seconds()
	}
	encoded, err := merged.EncodeV2()
	if err != nil {
		return fmt.Errorf("encoding the histogram: %w", err)
	}
	r.Histogram = string(encoded)
	return nil
}

// restart describes a window. Its percentiles are those of the samples it has,
// however few.
func (w window) restart() Restart {
	return Restart{
		Count:    w.hist.TotalCount(),
		Duration: w.duration,
		P50NS:    float64(w.hist.ValueAtPercentile(50)),
		P90NS:    float64(w.hist.ValueAtPercentile(90)),
		P99NS:    float64(w.hist.ValueAtPercentile(99)),
		Taint:    w.taint,
	}
}
