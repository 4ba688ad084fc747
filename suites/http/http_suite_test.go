package http

import (
	"context"
	"net/netip"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	bench.Main()
	sandbox.Main()
	m.Run()
}

func TestHTTP(t *testing.T) {
	// The thread that starts sandboxes stays when the last of them is gone.
	if s, err := sandbox.Start(t.Context(), sandbox.Config{}); err == nil {
		_ = s.Close() // where it cannot be closed the checks will say so
	}
	before := gleak.Goroutines()
	spec.RunUnderGoTest(t, "http")
	const patience = 10 * time.Second
	NewWithT(t).Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before))
}

var _ = flowtest.Expect(func(id string) []check.Flow {
	switch id {
	case "HTTP-001":
		return []check.Flow{flowtest.To("tcp", "127.0.0.1:62893")}
	case "HTTP-002":
		return []check.Flow{flowtest.To("tcp", "[::1]:0")}
	case "HTTP-003":
		return placesOfLocalhost()
	case "HTTP-033":
		flows := []check.Flow{flowtest.To("udp", "127.0.0.1:0")}
		if spec.LacksIPv6() == "" {
			flows = append(flows, flowtest.To("udp", "[::1]:0"))
		}
		return flows
	case "HTTP-064":
		return []check.Flow{flowtest.To("udp", "127.0.0.1:0")}
	}
	if id >= "HTTP-044" && id <= "HTTP-059" {
		return nil // browsers ask in sandboxes
	}
	return []check.Flow{flowtest.To("tcp", "127.0.0.1:0")}
})

// placesOfLocalhost are the addresses that a server is put on under that name.
func placesOfLocalhost() []check.Flow {
	addrs, err := web.Resolve(context.Background(), "localhost")
	Expect(err).NotTo(HaveOccurred())
	var flows []check.Flow
	for _, addr := range addrs {
		if addr.Is4() || spec.LacksIPv6() == "" {
			flows = append(flows, check.Flow{Protocol: "tcp", To: netip.AddrPortFrom(addr, 0)})
		}
	}
	return flows
}
