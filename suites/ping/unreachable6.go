package ping

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// unreachableType6 and portCode6 encode Port Unreachable (RFC 4443 3.1).
	unreachableType6 = 1
	portCode6        = 4
	// maxErrorBytes6 is the most an ICMPv6 error may be long: the least MTU of
	// IPv6 (RFC 4443 2.4 c).
	maxErrorBytes6 = 1280
)

var _ = suite.It("answers a datagram to a closed port of ::1 with ICMPv6 port unreachable of at most 1280 bytes", check.Check{
	ID: "PING-014", Grade: check.GradeFail, Source: "RFC 4443 2.4 (c), 3.1", OS: "linux",
	Needs: []check.Need{check.IPv6, check.NetRaw},
	Asks: "1,400 bytes go to a UDP port of ::1 that is held closed. The sender's error queue has to hold ICMPv6 type 1, code 4; " +
		"a raw socket has to see that error in a packet of at most 1,280 bytes.",
	Why: "Port unreachable is how a UDP client learns at once that nobody listens. localhost mostly leads to ::1 first, " +
		"so that a client whose error is swallowed there waits for its timeout before it tries 127.0.0.1.",
	Causes: []string{
		"a netfilter rule drops ICMPv6 errors on lo, often one that lets only echo and neighbour discovery pass",
		"a netfilter rule rejects with another ICMPv6 code, or drops silently, before the port is looked up",
	},
	Remedies: []string{acceptLoopback},
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	held, closed, err := sock.ClosedUDP(sock.IPv6)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(held.Close)
	spec.Flow("udp", sock.IPv6.Loopback(0))

	within, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	queued, err := icmp.QueuedError(within, closed, causing)
	Expect(err).NotTo(HaveOccurred(), "error queue after a datagram to closed port %v", closed)
	Expect([2]int{queued.Type, queued.Code}).To(Equal([2]int{unreachableType6, portCode6}), "ICMPv6 type and code in the error queue, after a datagram to closed port %v", closed)

	packet, err := icmp.CaptureError(within, closed, causing)
	if isRefused(err) {
		spec.Skip(check.NetRaw, fmt.Sprintf("the error queue held type %d code %d, as it should; to see its length: %s", queued.Type, queued.Code, rootError(err)))
	}
	Expect(err).NotTo(HaveOccurred(), "ICMPv6 error for closed port %v, as a raw socket sees it", closed)
	spec.Evidence("packet", "ICMPv6 type %d code %d from %v, %d bytes", packet.Type, packet.Code, packet.From, packet.SizeBytes)
	Expect([2]int{packet.Type, packet.Code}).To(Equal([2]int{unreachableType6, portCode6}), "type and code of the ICMPv6 error for closed port %v", closed)
	Expect(packet.SizeBytes).To(BeNumerically("<=", maxErrorBytes6), "bytes of the ICMPv6 error for closed port %v", closed)
})
