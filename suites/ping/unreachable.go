package ping

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// unreachableType and portCode encode Port Unreachable (RFC 792).
	unreachableType = 3
	portCode        = 3
	// maxErrorBytes is the most an ICMP error may be long (RFC 1812 4.3.2.3).
	maxErrorBytes = 576
	// The precedences that an ICMP error should have, as a type of service
	// (RFC 1812 4.3.2.5). Linux uses the first.
	internetworkControl = 0xc0
	networkControl      = 0xe0
	// causing is long enough that an error which quoted all of it would be
	// longer than it may be.
	causing = 1400
)

var _ = suite.It("answers a datagram to a closed port with ICMP port unreachable of at most 576 bytes", check.Check{
	ID: "PING-013", Grade: check.GradeFail, Source: "RFC 1122 3.2.2.1, 4.1.3.1; RFC 1812 4.3.2.3, 4.3.2.5", OS: "linux",
	Needs: []check.Need{check.NetRaw},
	Asks: "1,400 bytes go to a UDP port of 127.0.0.1 that is held closed. The sender's error queue has to hold ICMP type 3, code 3; " +
		"a raw socket has to see that error in a packet of at most 576 bytes with precedence 6 or 7 (TOS 0xc0 or 0xe0).",
	Why: "Port unreachable is how a UDP client learns at once that nobody listens: DNS, syslog and metrics clients fail over by it. " +
		"Where it is swallowed they wait for their timeout.",
	Causes: []string{
		"a netfilter rule drops ICMP errors on lo",
		"a netfilter rule rejects with another ICMP code, or drops silently, before the port is looked up",
		"a rule or queueing discipline rewrites DSCP on lo, often on purpose: `nft list ruleset | grep 'dscp set'`, " +
			"`iptables -t mangle -S | grep -E 'DSCP|TOS'`, `tc qdisc show dev lo` and `tc filter show dev lo` show it",
	},
	Remedies: []string{
		acceptLoopback,
		"except `oifname lo`, or ICMP errors, from the rule that rewrites DSCP",
	},
}, func(ctx SpecContext) {
	held, closed, err := sock.ClosedUDP(sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(held.Close)
	spec.Flow("udp", sock.IPv4.Loopback(0))

	within, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	queued, err := icmp.QueuedError(within, closed, causing)
	Expect(err).NotTo(HaveOccurred(), "error queue after a datagram to closed port %v", closed)
	spec.Evidence("error queue", "ICMP type %d code %d", queued.Type, queued.Code)
	Expect(queued.Type).To(Equal(unreachableType), "ICMP type in the error queue, after a datagram to closed port %v", closed)
	Expect(queued.Code).To(Equal(portCode), "ICMP code in the error queue, after a datagram to closed port %v", closed)

	packet, err := icmp.CaptureError(within, closed, causing)
	if isRefused(err) {
		spec.Skip(check.NetRaw, "the error queue held the right error; to see its length and TOS: "+rootError(err))
	}
	Expect(err).NotTo(HaveOccurred(), "ICMP error for closed port %v, as a raw socket sees it", closed)
	spec.Evidence("packet", "ICMP type %d code %d from %v, %d bytes, TOS %#02x", packet.Type, packet.Code, packet.From, packet.SizeBytes, packet.TOS)
	Expect(packet.Type).To(Equal(unreachableType), "type of the ICMP error for closed port %v", closed)
	Expect(packet.Code).To(Equal(portCode), "code of the ICMP error for closed port %v", closed)
	Expect(packet.SizeBytes).To(BeNumerically("<=", maxErrorBytes), "bytes of the ICMP error for closed port %v", closed)
	Expect(packet.TOS).To(BeElementOf(internetworkControl, networkControl), "type of service of the ICMP error for closed port %v", closed)
})
