package ping

import (
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	probing "github.com/prometheus-community/pro-bing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var icmpCauses = []string{
	"net.ipv4.icmp_echo_ignore_all is 1 (IPv6: net.ipv6.icmp.echo_ignore_all)",
	"a netfilter rule drops ICMP in the input or output hook, on lo too",
	"lo is down or lacks its address",
}

// acceptLoopback names no table or chain: those are the user's own, and an
// accept in one base chain does not end the others of its hook.
const acceptLoopback = "in each input base chain that `nft list ruleset` shows, accept `iifname lo` before anything drops; " +
	"in each output base chain, `oifname lo`"

var icmpRemedies = []string{
	"sysctl -w net.ipv4.icmp_echo_ignore_all=0",
	acceptLoopback,
	"ip link set dev lo up",
	"ip address add 127.0.0.1/8 dev lo, where `ip address show dev lo` lacks it (IPv6: ::1/128)",
}

var _ = suite.It("answers an echo request to 127.0.0.1 with the same identifier, sequence and payload", check.Check{
	ID: "PING-001", Grade: check.GradeFail, Source: "RFC 792 (Echo or Echo Reply Message); RFC 1122 3.2.2.6",
	Needs: []check.Need{check.PingSocket},
	Asks: "pro-bing sends three echo requests to 127.0.0.1 and expects three replies. A probe beside it sends 1,000 random bytes " +
		"and expects type 0, code 0, the identifier that was on the wire, the sequence number, every byte of the payload, " +
		"and the TTL that net.ipv4.ip_default_ttl asks for (64 unless it was changed).",
	Why: "It is the smallest question a stack can answer. Health checks, service managers and people ask it first; " +
		"where it fails, nothing else on loopback can be relied on.",
	Causes: icmpCauses, Remedies: icmpRemedies,
}, func(ctx SpecContext) {
	via := access(v4Loopback)
	stats := proBing(ctx, v4Loopback, via, func(p *probing.Pinger) { p.Count, p.Interval = 3, 1e6 })
	Expect(stats.PacketsRecv).To(Equal(stats.PacketsSent), "replies that pro-bing received from %v", v4Loopback)

	reply := expectEcho(ctx, v4Loopback, via, 1000)
	spec.Evidence("reply", "type %d code %d from %v, TTL %d", reply.Type, reply.Code, reply.From, reply.TTL)
	spec.Measure("rtt_ns", float64(reply.RTT))
	Expect(reply.Type).To(Equal(0), "type of the reply from %v", v4Loopback)
	Expect(reply.Code).To(Equal(0), "code of the reply from %v", v4Loopback)
	Expect(reply.From).To(Equal(v4Loopback), "source of the reply to an echo request to %v", v4Loopback)
	Expect(reply.TTL).To(Equal(setting("net.ipv4.ip_default_ttl", 64)), "TTL of the reply from %v", v4Loopback)
})

var _ = suite.It("answers an echo request to the last address of 127.0.0.0/8", check.Check{
	ID: "PING-002", Grade: check.GradeFail, Source: "RFC 1122 3.2.1.3(g); RFC 6890 2.2.2", OS: "linux",
	Needs: []check.Need{check.PingSocket},
	Asks:  "pro-bing and a probe beside it send echo requests to 127.255.255.254 and expect the replies from that address.",
	Why: "Containers, test rigs and local resolvers (127.0.0.53) use addresses of 127/8 other than 127.0.0.1. " +
		"They work only while the whole /8 is local.",
	Causes:   append([]string{"lo holds 127.0.0.1/32 in the place of 127.0.0.1/8, or the local table lacks 127.0.0.0/8"}, icmpCauses...),
	Remedies: append([]string{"ip address replace 127.0.0.1/8 dev lo"}, icmpRemedies...),
}, func(ctx SpecContext) {
	last := netip.MustParseAddr("127.255.255.254")
	via := access(last)
	stats := proBing(ctx, last, via, func(p *probing.Pinger) { p.Count = 1 })
	Expect(stats.PacketsRecv).To(Equal(1), "replies that pro-bing received from %v", last)

	reply := expectEcho(ctx, last, via, 64)
	spec.Evidence("reply", "type %d code %d from %v", reply.Type, reply.Code, reply.From)
	Expect(reply.Type).To(Equal(0), "type of the reply from %v", last)
	Expect(reply.From).To(Equal(last), "source of the reply to an echo request to %v", last)
})

var _ = suite.It("echoes the largest payload, 65,507 bytes, and refuses one byte more with EMSGSIZE", check.Check{
	ID: "PING-006", Grade: check.GradeFail, Source: "RFC 791 3.1 (Total Length); man 7 raw", OS: "linux",
	Needs: []check.Need{check.PingSocket},
	Asks: "pro-bing and a probe beside it send 65,507 bytes to 127.0.0.1, the most that fits a total length of 65,535; " +
		"every byte is compared. A payload of 65,508 bytes has to be refused by the send itself.",
	Why: "The largest packet passes every buffer on the way, and fragments where the MTU of lo was lowered. " +
		"A stack that truncates it, or takes one that cannot be sent, corrupts large datagrams too.",
	Causes: append([]string{
		"the MTU of lo was lowered and a rule or net.ipv4.ipfrag_high_thresh drops the fragments",
	}, icmpCauses...),
	Remedies: append([]string{
		"raise the MTU of lo if it is below 65,536: ip link set dev lo mtu 65536",
		"raise net.ipv4.ipfrag_high_thresh if it is below 4194304",
	}, icmpRemedies...),
}, func(ctx SpecContext) {
	via := access(v4Loopback)
	stats := proBing(ctx, v4Loopback, via, func(p *probing.Pinger) { p.Count, p.Size = 1, icmp.MaxPayload })
	Expect(stats.PacketsRecv).To(Equal(1), "replies of 65,507 bytes that pro-bing received from %v", v4Loopback)

	reply := expectEcho(ctx, v4Loopback, via, icmp.MaxPayload)
	spec.Evidence("largest reply", "%d bytes of payload", len(reply.Payload))
	_, err := icmp.Echo(ctx, via, v4Loopback, icmp.Request{ID: randomUint16(), Payload: make([]byte, icmp.MaxPayload+1)})
	spec.Evidence("one byte more", "%v", err)
	Expect(err).To(MatchError(syscall.EMSGSIZE), "an echo request of 65,508 bytes to %v", v4Loopback)
})

var _ = suite.It("answers an echo request to ::1 with an echo reply", check.Check{
	ID: "PING-018", Grade: check.GradeFail, Source: "RFC 4443 4.1, 4.2",
	Needs: []check.Need{check.PingSocket, check.IPv6},
	Asks: "pro-bing and a probe beside it send echo requests (type 128) to ::1 and expect type 129 with the same identifier, " +
		"sequence number and payload, and the hop limit that net.ipv6.conf.lo.hop_limit asks for (64 unless it was changed).",
	Why: "Where localhost resolves to ::1 first, which is usual, every local connection tries IPv6 before IPv4. " +
		"An ::1 that is there and does not answer delays or breaks them all.",
	Causes: icmpCauses, Remedies: append([]string{"sysctl -w net.ipv6.icmp.echo_ignore_all=0"}, icmpRemedies[1:]...),
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	via := access(v6Loopback)
	stats := proBing(ctx, v6Loopback, via, func(p *probing.Pinger) { p.Count, p.Interval = 3, 1e6 })
	Expect(stats.PacketsRecv).To(Equal(stats.PacketsSent), "replies that pro-bing received from %v", v6Loopback)

	reply := expectEcho(ctx, v6Loopback, via, 1000)
	spec.Evidence("reply", "type %d code %d from %v, hop limit %d", reply.Type, reply.Code, reply.From, reply.TTL)
	spec.Measure("rtt_ns", float64(reply.RTT))
	Expect(reply.Type).To(Equal(129), "type of the reply from %v", v6Loopback)
	Expect(reply.From).To(Equal(v6Loopback), "source of the reply to an echo request to %v", v6Loopback)
	Expect(reply.TTL).To(Equal(setting("net.ipv6.conf.lo.hop_limit", 64)), "hop limit of the reply from %v", v6Loopback)
})
