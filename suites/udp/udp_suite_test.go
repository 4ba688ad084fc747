package udp

import (
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestUDP(t *testing.T) { spec.RunUnderGoTest(t, "udp") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	flows := []check.Flow{flowtest.To("udp", "127.0.0.1:0")}
	if id == "UDP-002" && spec.LacksIPv6() == "" {
		flows = append(flows, flowtest.To("udp", "[::1]:0"))
	}
	return flows
})
