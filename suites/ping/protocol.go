package ping

import (
	"context"
	"fmt"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// experimental is a protocol of IP that nothing speaks (RFC 3692 2.1).
	experimental = 253
	// protocolCode encodes Protocol Unreachable (RFC 792).
	protocolCode = 2
)

// unknown is what came back for a packet of a protocol that nothing speaks.
type unknown struct {
	Error           sock.ICMPError
	InUnknownProtos int64 // growth
}

var _ = spec.Job(suite, "answers a packet of an unknown protocol with ICMP protocol unreachable, and counts it", check.Check{
	ID: "PING-015", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 1122 3.2.2.1; RFC 792 (Destination Unreachable, code 2); RFC 4293 (ipInUnknownProtos)",
	Asks: "In a network namespace of its own, sends a packet of protocol 253, which is kept for experiments, from 127.0.0.1 to 127.0.0.2, where nothing takes it. " +
		"The sender's error queue must hold ICMP type 3, code 2, and Ip InUnknownProtos grow by one.",
	Why: "Tunnels and VPNs (GRE, IPsec, L2TP, SCTP) find out by it at once that the other side does not speak their protocol, in place of waiting for timeouts, " +
		"and the counter tells who runs the machine that somebody tries.",
	Causes: []string{
		spec.OtherStack,
		"a raw socket or a kernel module that takes every protocol",
	},
	Remedies: []string{
		spec.OwnStack,
		"see what is counted, and who has raw sockets: `nstat -az IpInUnknownProtos`, `ss -wap`",
	},
}, sendUnknown, func(_ SpecContext, seen unknown) {
	spec.Evidence("answer", "%v; Ip InUnknownProtos grew by %d", seen.Error, seen.InUnknownProtos)
	Expect(seen.Error).To(Equal(sock.ICMPError{Type: unreachableType, Code: protocolCode}), "what came back for a packet of protocol %d", experimental)
	Expect(seen.InUnknownProtos).To(BeEquivalentTo(1), "growth of Ip InUnknownProtos")
})

func sendUnknown(ctx context.Context, _ *sandbox.Inside) (seen unknown, err error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	s, err := sock.NewRaw(sock.IPv4, experimental)
	if err != nil {
		return seen, err
	}
	defer s.Close()
	// Bound to another address than it sends to, the socket does not take its
	// own packet, which would make the protocol a known one.
	if err := s.Bind(sock.IPv4.Loopback(0)); err != nil {
		return seen, err
	}
	if err := s.QueueErrors(); err != nil {
		return seen, err
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 2}), 0)
	if _, err := s.SendTo(ctx, []byte("does anybody speak this?"), to, 0); err != nil {
		return seen, err
	}
	if _, err := s.Poll(ctx, 0); err != nil {
		return seen, fmt.Errorf("await an ICMP error for a packet of protocol %d: %w", experimental, err)
	}
	queued, err := s.QueuedError()
	if err != nil {
		return seen, err
	}
	if queued == nil {
		return seen, fmt.Errorf("the error for a packet of protocol %d is none of ICMP: %v", experimental, s.PendingError())
	}
	seen.Error = *queued
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	seen.InUnknownProtos, err = after.Sub(before).Get("Ip", "InUnknownProtos")
	return seen, err
}
