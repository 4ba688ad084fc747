package latency

import (
	"testing"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	bench.Main()
	m.Run()
}

func TestLatency(t *testing.T) { spec.RunUnderGoTest(t, "latency") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	return []check.Flow{flowtest.To(map[string]string{"LAT-001": "tcp", "LAT-002": "udp"}[id], "127.0.0.1:0")}
})
