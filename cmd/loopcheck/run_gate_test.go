package main

import (
	"errors"
	"testing"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/compare"
)

// Only a regression fails a run, and only where that is asked for.
func TestAGateFailsOnARegression(t *testing.T) {
	for _, verdict := range []judge.Verdict{judge.Regression, judge.Inconclusive, judge.Improvement, judge.NoChange} {
		c := &compare.Comparison{Verdict: verdict, ChecksCompared: 1}
		open, closed := gate{}, gate{fails: true}
		if err := open.verdict(c); err != nil {
			t.Errorf("%s without --gate: %v", verdict, err)
		}
		want := error(nil)
		if verdict == judge.Regression {
			want = codeError(exitFailed)
		}
		if err := closed.verdict(c); err != want {
			t.Errorf("%s with --gate: %v, want %v", verdict, err, want)
		}
	}
	if err := (&gate{fails: true}).verdict(nil); err != nil {
		t.Errorf("without a baseline: %v", err)
	}
	if err := (&gate{fails: true}).verdict(&compare.Comparison{Verdict: judge.NoChange}); !errors.As(err, new(*usageError)) {
		t.Errorf("where nothing is compared: %v", err)
	}
}
