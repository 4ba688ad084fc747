package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("answers on every TCP port as the socket table says", check.Check{
	ID: "PORT-014", Grade: check.GradeFail, OS: "linux", Timeout: wholeTimeout,
	Source: "RFC 9293 3.10.7.1 (a closed port answers with RST), 3.10.7.2 (a listener with SYN-ACK)",
	Asks:   "Sends a SYN to each port from 1 to 65535 of 127.0.0.1, and of ::1 where there is IPv6, and afterwards reads the socket table: a port where somebody listens must answer with SYN-ACK, every other with RST, and none with an ICMP error or not at all. A listener whose accept queue is full may be silent. Without CAP_NET_RAW the ports are asked by connections, and those where somebody listens are left alone.",
	Why:    "A firewall on loopback, or a rule that redirects, shows nowhere else: the server runs, its port is listed, and clients on the machine wait for nothing or reach something else.",
	Causes: []string{
		"a firewall drops, rejects or redirects ports on lo as well",
		"an eBPF program (sk_lookup, cgroup or tc) answers or sends packets elsewhere",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see which rule counts the packets: `nft list ruleset` or `iptables -vnL`",
		"list the eBPF programs: `bpftool net`, `bpftool cgroup tree`",
	},
}, func(specCtx SpecContext) {
	ctx := spec.Within(specCtx, wholeRange)
	for _, family := range families() {
		addr := family.Loopback(0).Addr()
		result := scanAll(ctx, addr)
		comparison, err := portscan.Compare(ctx, result)
		Expect(err).NotTo(HaveOccurred())
		for _, r := range portset.IANA() {
			spec.Evidence(fmt.Sprintf("%s, %s ports", addr, r.Name), "%d open, %d closed of %d asked",
				result.Count(r.Range, portscan.Open), result.Count(r.Range, portscan.Closed), result.Ports.Within(r.Range).Len())
		}
		spec.Measure(fmt.Sprintf("scan_%s_ns", family), float64(result.Took))
		contradictions, ports := contradictions(result, comparison)
		for i, port := range ports {
			if i == tracedPorts {
				break
			}
			spec.Flow("tcp", netip.AddrPortFrom(addr, port))
		}
		Expect(contradictions).To(BeEmpty(), "ports of %s that answer otherwise than the socket table says", addr)
	}
})

// tracedPorts bounds how many ports the search for a cause has to try: those
// behind one rule all say the same.
const tracedPorts = 8

// scanAll asks every port. Without the right to send SYNs of its own making, it
// would give a connection to each program that listens, some of which take
// just one: those it leaves alone.
func scanAll(ctx context.Context, addr netip.Addr) *portscan.Result {
	GinkgoHelper()
	options := portscan.Options{Protocol: sock.TCP, Addr: addr, Ports: portset.Ports(dynamicPort)}
	trial, err := portscan.Scan(ctx, options)
	Expect(err).NotTo(HaveOccurred())
	options.Engine, options.Ports = trial.Engine, portset.All()
	if options.Engine == portscan.Connect {
		taken := portset.Ports(listeningOn(ctx, addr)...)
		options.Ports = options.Ports.Without(taken)
		if taken.Len() > 0 {
			spec.Evidence(addr.String()+", not asked", "%s: somebody listens there, and asking without CAP_NET_RAW would connect", taken)
		}
	}
	result, err := portscan.Scan(ctx, options)
	if errors.Is(err, context.DeadlineExceeded) {
		spec.Inconclusive("the ports of %v were not all asked in %v: the machine is too slow, or too busy", addr, wholeRange)
	}
	Expect(err).NotTo(HaveOccurred())
	return result
}

func listeningOn(ctx context.Context, addr netip.Addr) []uint16 {
	GinkgoHelper()
	var ports []uint16
	table := tableOf(ctx, sock.TCP, false)
	for i := range table.Sockets {
		if s := &table.Sockets[i]; s.Takes(addr) {
			ports = append(ports, s.Local.Port())
		}
	}
	return ports
}

// contradictions says what no stack should answer, and at which ports.
func contradictions(r *portscan.Result, c *portscan.Comparison) (text string, ports []uint16) {
	var lines []string
	known := map[uint16]bool{}
	for _, d := range c.Disagreements {
		known[d.Port] = true
		if d.Backlogged {
			spec.Evidence(fmt.Sprintf("%s, full accept queue", netip.AddrPortFrom(r.Addr, d.Port)), "%s: %s", d.Answer.Text(r.Addr), d.Sockets[0].String())
			continue
		}
		ports = append(ports, d.Port)
		if d.Kind == portscan.Ownerless {
			lines = append(lines, fmt.Sprintf("%d is open, and nobody listens there", d.Port))
		} else {
			lines = append(lines, fmt.Sprintf("%d is %s, although somebody listens there (%s)", d.Port, d.Answer.Text(r.Addr), d.Sockets[0].String()))
		}
	}
	for _, part := range r.Ranges() {
		if part.Answer.State != portscan.Rejected && part.Answer.State != portscan.Dropped {
			continue
		}
		left := portset.Of(part.Range)
		for port := range known {
			left = left.Without(portset.Ports(port))
		}
		if left.Len() == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s", left, part.Answer.Text(r.Addr)))
		ports = append(ports, left.Ranges()[0].First)
	}
	return some(lines, "; "), ports
}
