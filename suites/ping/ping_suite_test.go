package ping

import (
	"slices"
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

func TestPing(t *testing.T) { spec.RunUnderGoTest(t, "ping") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	if c, _ := check.Lookup(id); c.Sandboxed || slices.Contains(c.Needs, check.Sandbox) {
		return nil // it sends in a sandbox
	}
	switch id {
	case "PING-002":
		return []check.Flow{flowtest.To("icmp", "127.255.255.254:0")}
	case "PING-003":
		return []check.Flow{flowtest.To("icmp", "127.0.0.0:0")}
	case "PING-004":
		return []check.Flow{flowtest.To("icmp", "127.255.255.255:0"), flowtest.To("icmp", "127.0.0.1:0")}
	case "PING-013", "PING-016":
		return []check.Flow{flowtest.To("udp", "127.0.0.1:0")}
	case "PING-014":
		if spec.LacksIPv6() != "" {
			return nil
		}
		return []check.Flow{flowtest.To("udp", "[::1]:0")}
	case "PING-018":
		return []check.Flow{flowtest.To("icmp", "[::1]:0")}
	}
	return []check.Flow{flowtest.To("icmp", "127.0.0.1:0")}
})
