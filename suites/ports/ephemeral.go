package ports

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	rangeSetting = "net.ipv4.ip_local_port_range"
	// How many ports the kernel is made to choose for each protocol and
	// family. One after the other, so that two free ports are enough.
	byBind, byConnect = 32, 16
)

var _ = suite.It("chooses ephemeral ports from the range that is set", check.Check{
	ID: "PORT-001", Grade: check.GradeFail, OS: "linux",
	Source: "Documentation/networking/ip-sysctl.rst, ip_local_port_range; ip(7)",
	Asks:   "Binds 32 sockets to port 0 of 127.0.0.1 and connects 16 that are not bound at all, over TCP and UDP and, where there is IPv6, over ::1 as well. Every port the kernel chooses must lie in net.ipv4.ip_local_port_range, which IPv6 follows too.",
	Why:    "Firewalls, service ports and container port mappings are laid around this range. A client that is given a port outside it is dropped by the rules, or takes the port that a server is about to bind.",
	Causes: []string{
		"every port of the range is in use, by connections or by sockets that were never closed, so that none is chosen at all",
		"a user-space stack or sandbox (gVisor, WSL 1) that has a range of its own",
		"an eBPF program at the cgroup's bind or connect hook rewrites the port or refuses the call",
	},
	Remedies: []string{
		"see who holds ports with `ss -tanp` and `ss -uanp`, and if `sysctl net.ipv4.ip_local_port_range` shows a narrow range: `sysctl -w net.ipv4.ip_local_port_range='32768 60999'`",
		"list the programs at the hooks: `bpftool cgroup tree`",
	},
}, func(ctx SpecContext) {
	limits := ephemeralRange()
	for _, family := range families() {
		for _, kind := range kinds {
			deadline := spec.Within(ctx, patience)
			what := fmt.Sprintf("%s over %s", kind, family)
			var ports []uint16
			for n := range byBind {
				ports = append(ports, boundPort(kind, family, fmt.Sprintf("socket %d of %d, with ports from %v to choose from", n+1, byBind, limits)))
			}
			expectWithin(limits, ports, "ports that bind chose for "+what)
			spec.Flow(kind.String(), family.Loopback(0))
			for range byConnect {
				ports = append(ports, connectedPort(deadline, kind, family))
			}
			expectWithin(limits, ports, "ports that connect chose for "+what)
			spec.Evidence(what, "%d ports by bind and %d by connect, from %d to %d; range %v", byBind, byConnect, slices.Min(ports), slices.Max(ports), limits)
		}
	}
})

func expectWithin(limits portRange, ports []uint16, what string) {
	GinkgoHelper()
	now := ephemeralRange()
	if now != limits {
		spec.Inconclusive("%s was changed meanwhile, from %v to %v", rangeSetting, limits, now)
	}
	strays := slices.DeleteFunc(slices.Clone(ports), limits.holds)
	Expect(strays).To(BeEmpty(), "%s outside of %v", what, limits)
}

// boundPort has bind choose a port and gives it back.
func boundPort(kind sock.Kind, family sock.Family, what string) uint16 {
	GinkgoHelper()
	s := open(kind, family)
	defer s.Close()
	Expect(s.Bind(family.Loopback(0))).To(Succeed(), "%s", what)
	return ownPort(s)
}

// connectedPort has connect choose a port and gives it back.
func connectedPort(ctx context.Context, kind sock.Kind, family sock.Family) uint16 {
	GinkgoHelper()
	peer, addr := bound(kind, family)
	defer peer.Close()
	client := open(kind, family)
	defer client.Close()
	if kind == sock.TCP {
		Expect(peer.Listen(1)).To(Succeed())
		// Closing in the ordinary way would keep the port in TIME_WAIT.
		Expect(client.SetLinger(0)).To(Succeed())
	}
	Expect(client.Connect(ctx, addr)).To(Succeed())
	return ownPort(client)
}

func ownPort(s *sock.Socket) uint16 {
	GinkgoHelper()
	addr, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return addr.Port()
}

// portRange is the ports from first to last, both included.
type portRange struct{ first, last uint16 }

func ephemeralRange() portRange {
	GinkgoHelper()
	limits, err := parseRange(spec.Setting(rangeSetting))
	Expect(err).NotTo(HaveOccurred())
	return limits
}

func parseRange(text string) (r portRange, err error) {
	if _, err := fmt.Sscan(text, &r.first, &r.last); err != nil {
		return portRange{}, fmt.Errorf("parse %s, %q: %w", rangeSetting, text, err)
	}
	return r, nil
}

func (r portRange) holds(port uint16) bool { return r.first <= port && port <= r.last }

func (r portRange) String() string { return fmt.Sprintf("%d to %d", r.first, r.last) }
