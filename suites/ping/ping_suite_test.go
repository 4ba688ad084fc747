package ping

import (
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestPing(t *testing.T) { spec.RunUnderGoTest(t, "ping") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	switch id {
	case "PING-002":
		return []check.Flow{flowtest.To("icmp", "127.255.255.254:0")}
	case "PING-013":
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
