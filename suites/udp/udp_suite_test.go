package udp

import (
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

func TestUDP(t *testing.T) { spec.RunUnderGoTest(t, "udp") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	switch id {
	case "UDP-011", "UDP-020":
		return nil // nothing they send is sent
	case "UDP-012":
		return []check.Flow{flowtest.To("udp", "127.255.255.255:0")}
	case "UDP-013", "UDP-014":
		return nil // they send in a sandbox
	case "UDP-016", "UDP-019":
		return []check.Flow{flowtest.To("udp", "127.9.9.9:0")}
	}
	flows := []check.Flow{flowtest.To("udp", "127.0.0.1:0")}
	if id == "UDP-002" && spec.LacksIPv6() == "" {
		flows = append(flows, flowtest.To("udp", "[::1]:0"))
	}
	return flows
})
