package addressing

import (
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

func TestAddressing(t *testing.T) { spec.RunUnderGoTest(t, "addressing") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	both := []check.Flow{flowtest.To("tcp", "127.0.0.1:0"), flowtest.To("tcp", "[::1]:0")}
	switch id {
	case "ADDR-001":
		return append(both, flowtest.To("udp", "127.0.0.1:0"), flowtest.To("udp", "[::1]:0"))
	case "ADDR-002", "ADDR-004":
		return both
	case "ADDR-012":
		return []check.Flow{flowtest.To("tcp", "127.0.0.1:0"), flowtest.To("tcp", "127.1.1.1:0")}
	case "ADDR-014":
		return append(toOther("tcp"), toOther("udp")[1])
	case "ADDR-015":
		return toOther("tcp")
	}
	return nil
})

// toOther is what goes to the loopback address and to the machine's other one,
// which has to be there.
func toOther(protocol string) []check.Flow {
	others, err := iface.Others()
	if err != nil {
		panic(err)
	}
	own := others[0].Addr
	return []check.Flow{
		{Protocol: protocol, To: netip.AddrPortFrom(loopback(familyOf(own)), 0)},
		{Protocol: protocol, To: netip.AddrPortFrom(own, 0)},
	}
}
