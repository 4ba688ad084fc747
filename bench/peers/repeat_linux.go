package main

import (
	"context"

	"github.com/loopcheck/loopcheck/bench"
)

// repeat runs a benchmark some times, one run after the other. It tells of each when
// it is over.
func repeat(ctx context.Context, s bench.Spec, times int, told func(repetition)) repeated {
	r := repeated{Name: s.Name()}
	for range times {
		results, err := bench.Measure(ctx, []bench.Spec{s}, bench.Plan{Restarts: bench.DefaultRestarts, Window: bench.DefaultWindow})
		if ctx.Err() != nil {
			break // a run that was cut off is none
		}
		if reason := lacking(err); reason != "" {
			r.Skipped = reason
			break
		}
		if err != nil {
			r.Error = err.Error()
			break
		}
		one := results[0]
		if one.Skipped != "" {
			r.Skipped = one.Skipped
			break
		}
		run := repetition{one.MedianNS, one.Percentiles["p99_ns"], one.CI95, one.Taint, one.Inconclusive}
		r.Runs = append(r.Runs, run)
		told(run)
	}
	r.Variation = variation(r.medians())
	return r
}
