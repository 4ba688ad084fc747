package main

import (
	"testing"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/compare"
)

// Only a regression fails a run, and only where that is asked for.
func TestAGateFailsOnARegression(t *testing.T) {
	for _, verdict := range []judge.Verdict{judge.Regression, judge.Inconclusive, judge.Improvement, judge.NoChange} {
		c := &compare.Comparison{Verdict: verdict}
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
}
