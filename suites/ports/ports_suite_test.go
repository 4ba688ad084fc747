package ports

import (
	"net/netip"
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

func TestPorts(t *testing.T) { spec.RunUnderGoTest(t, "ports") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	ports := map[string]uint16{"PORT-001": 0, "PORT-015": dynamicPort}
	port, sends := ports[id]
	if !sends {
		return nil
	}
	addrs := []string{"127.0.0.1"}
	if spec.LacksIPv6() == "" {
		addrs = append(addrs, "::1")
	}
	var flows []check.Flow
	for _, addr := range addrs {
		for _, protocol := range []string{"tcp", "udp"} {
			flows = append(flows, check.Flow{Protocol: protocol, To: netip.AddrPortFrom(netip.MustParseAddr(addr), port)})
		}
	}
	return flows
})
