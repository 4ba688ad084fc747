package containers

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// The MTUs of these checks, in bytes: that of a cable, and what a tunnel leaves of
// it (a VPN, VXLAN, a cloud's network).
const (
	cableMTU  = 1500
	tunnelMTU = 1400
)

// bridgeMTUs is the MTU of a bridge, in bytes, as those of its ports change.
type bridgeMTUs struct {
	outcome
	// Whole is it with ports of a cable's MTU, Smaller with one of a tunnel's, and
	// Again when that is a cable's again.
	Whole, Smaller, Again int
}

var sizing = sandbox.Register("containers/mtu", func(ctx context.Context, in *sandbox.Inside, p plan) (bridgeMTUs, error) {
	return sizeInside(ctx, in, p)
})

var _ = suite.It("gives a bridge the smallest MTU of its ports", check.Check{
	ID: "CTR-023", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox, bridgeDevices},
	Source:   "linux (br_mtu_auto_adjust, net/bridge/br_if.c)",
	Asks:     "In a sandbox, a bridge has the cables of two containers as its ports, each with an MTU of 1,500 bytes. When that of one becomes 1,400 the bridge's must become 1,400, and 1,500 again with the port's.",
	Why:      "A bridge drops without a word what is too large for the port that it goes out of. Since the bridge's own MTU follows, what the host sends is cut or refused in time.",
	Causes:   append([]string{"on a real host: the engine has set the bridge's MTU by itself (`\"mtu\"` in daemon.json), which ends the following"}, causes...),
	Remedies: append([]string{"compare the MTUs: `ip link show master docker0`; give the engine that of the uplink: `\"mtu\": 1400` in /etc/docker/daemon.json"}, remedies...),
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	p := plan{Zones: []string{web, app}}
	seen, err := sizing.Call(ctx, stand(ctx, p), host, p)
	judge(load, seen.outcome, err)
	spec.Evidence("MTU of the bridge", "%d bytes, then %d, then %d", seen.Whole, seen.Smaller, seen.Again)
	Expect(seen.Whole).To(Equal(cableMTU), "the MTU of the bridge with ports of 1,500 bytes")
	Expect(seen.Smaller).To(Equal(tunnelMTU), "the MTU of the bridge with a port of 1,400 bytes")
	Expect(seen.Again).To(Equal(cableMTU), "the MTU of the bridge with ports of 1,500 bytes again")
})

// transfers is what became of streams from a container over a smaller MTU.
type transfers struct {
	outcome
	Streams []transfer
}

type transfer struct {
	Family sock.Family
	// Sent and Arrived are in bytes.
	Sent, Arrived int
	// PathMTUBytes is what the container has learnt.
	PathMTUBytes uint32
	// Failed is what ended the stream early; "" where nothing did.
	Failed string
}

var transferring = sandbox.Register("containers/transfer", func(ctx context.Context, in *sandbox.Inside, p plan) (transfers, error) {
	return transferInside(ctx, in, p)
})

var _ = suite.It("tells a container the MTU of the host's uplink where that is smaller than its own", check.Check{
	ID: "CTR-024", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "RFC 1191; RFC 8201; RFC 1812 4.3.3.3",
	Asks:     "In a sandbox with Docker's rules, the container's interface has an MTU of 1,500 bytes and the host's uplink one of 1,400, which neither end knows. 256 KiB that the container sends to the outside must arrive whole, over IPv4 and IPv6, and the container must have learnt a path MTU of 1,400 from the host's ICMP errors.",
	Why:      "Behind VPNs and in many clouds the uplink is smaller than docker0. Where the host's ICMP errors do not come to the container, small requests work, and large ones (an image push, a TLS handshake with a long chain) hang.",
	Causes:   append([]string{"a rule that drops ICMP on the host or in the container: fragmentation needed (type 3, code 4), packet too big (ICMPv6 type 2)"}, causes...),
	Remedies: append([]string{"let these errors pass, or fit the segments to the path: `nft add rule ip filter forward tcp flags syn tcp option maxseg size set rt mtu`", "give the containers the MTU of the uplink: `\"mtu\": 1400` in /etc/docker/daemon.json"}, remedies...),
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	p := plan{Zones: []string{outside, web}, Phases: []phase{{Rules: docker{Containers: []string{web}}.nftables()}}}
	seen, err := transferring.Call(ctx, stand(ctx, p), host, p)
	judge(load, seen.outcome, err)
	for _, t := range seen.Streams {
		spec.Evidence("over "+t.Family.String(), "%d of %d bytes arrived; path MTU %d", t.Arrived, t.Sent, t.PathMTUBytes)
		if how, starved := load.Starved(); starved && t.Failed != "" {
			spec.Inconclusive("%s, but %s", t.Failed, how)
		}
		Expect(t.Failed).To(BeEmpty(), "the stream over %s", t.Family)
		Expect(t.Arrived).To(Equal(t.Sent), "bytes that arrived over %s", t.Family)
		Expect(t.PathMTUBytes).To(BeEquivalentTo(tunnelMTU), "the path MTU that the container has learnt over %s", t.Family)
	}
})
