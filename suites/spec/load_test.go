package spec

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/counters"
)

func TestStarvedNeedsEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		pressure counters.Pressure
		stat     counters.Stat
		want     bool
	}{
		"nothing read":  {counters.Pressure{}, counters.Stat{}, false},
		"idle":          {counters.Pressure{Some: time.Millisecond}, counters.Stat{Idle: 20}, false},
		"busy, no line": {counters.Pressure{Some: 20 * time.Millisecond}, counters.Stat{User: 20}, false},
		"line":          {counters.Pressure{Some: 60 * time.Millisecond}, counters.Stat{User: 20}, true},
		"stolen":        {counters.Pressure{}, counters.Stat{User: 16, Steal: 4}, true},
	} {
		t.Run(name, func(t *testing.T) {
			how, got := isStarved(counters.CPU{
				At: time.Unix(0, 0).Add(100 * time.Millisecond), Pressure: c.pressure, Stat: c.stat,
			}.Since(counters.CPU{At: time.Unix(0, 0)}))
			NewWithT(t).Expect(got).To(Equal(c.want), how)
		})
	}
}
