package latency

import (
	"testing"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	bench.Main() // before sandbox.Main, for what measures in a sandbox
	sandbox.Main()
	m.Run()
}

func TestLatency(t *testing.T) { spec.RunUnderGoTest(t, "latency") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	var flows []check.Flow
	for _, protocol := range map[string][]string{
		"LAT-002": {"udp"}, "LAT-004": {"udp"}, "LAT-005": {"tcp", "udp"}, "LAT-008": {"tcp", "udp"},
	}[id] {
		flows = append(flows, flowtest.To(protocol, "127.0.0.1:0"))
	}
	if flows == nil {
		flows = append(flows, flowtest.To("tcp", "127.0.0.1:0"))
	}
	return flows
})
