package latency

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
)

func TestReasonForAStall(t *testing.T) {
	const stall, before = 200 * time.Millisecond, 40 * time.Millisecond
	share := func(d time.Duration) float64 { return float64(d) / float64(before+stall) }
	for name, c := range map[string]struct {
		conditions bench.Conditions
		known      bool
	}{
		"nothing":                              {bench.Conditions{}, false},
		"nothing is told":                      {bench.Conditions{Taken: -1, Waiting: -1}, false},
		"both ends waited for each other":      {bench.Conditions{Waiting: share(before), Pressure: 1}, false},
		"others had a processor before it":     {bench.Conditions{Taken: share(before), Waiting: share(before)}, false},
		"others had the processors":            {bench.Conditions{Taken: share(stall)}, true},
		"others had them for half of it":       {bench.Conditions{Taken: share(stall/2 + time.Millisecond)}, true},
		"its threads were kept from running":   {bench.Conditions{Waiting: share(before + stall)}, true},
		"its threads waited for a tenth of it": {bench.Conditions{Waiting: share(before + stall/10)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			why, known := reasonFor(bench.Result{Restarts: []bench.Restart{{Duration: before + stall}}, Conditions: c.conditions}, stall)
			NewWithT(t).Expect(known).To(Equal(c.known), why)
		})
	}
}
