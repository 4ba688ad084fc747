package addressing

import (
	"net/netip"
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("drops what comes from the network with the address ::1, and counts it", check.Check{
	ID: "ADDR-019", Grade: check.GradeFail, OS: "linux", Needs: append([]check.Need{wireIPv6}, wireNeeds...),
	Source: "RFC 4291 2.5.3 (a packet for ::1 that comes in at an interface must be dropped); RFC 4293 (ipIfStatsInHdrErrors); linux, net/ipv6/ip6_input.c",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour, has the neighbour send datagrams of IPv6 that come from ::1 and that are for ::1, to a port where a socket on [::] receives. Neither may arrive, and Ip6InHdrErrors must grow by 2. What the neighbour sends with its own address must arrive.",
	Why:    "What is served on ::1 asks for no password, and what comes from there is trusted. For IPv6 no setting opens it to the network, so that nobody looks for a hole there.",
	Causes: []string{
		wireForeignStack, wireForeignCode,
	},
	Remedies: []string{
		wireHostsKernel, wireLookForCode,
		"until then keep such packets out: `nft add table ip6 guard`, `nft add chain ip6 guard pre '{ type filter hook prerouting priority raw; }'`, `nft add rule ip6 guard pre iifname != lo ip6 saddr ::1 drop`, `nft add rule ip6 guard pre iifname != lo ip6 daddr ::1 drop`",
	},
}, func(ctx SpecContext) {
	home := netip.IPv6Loopback()
	plan := wirePlan{
		IPv6: true,
		At:   netip.IPv6Unspecified(),
		Send: []wireDatagram{
			wireFrom(home, wireOwn6.Addr(), "from ::1"),
			wireFrom(wireOther6, home, "for ::1"),
			wireControl(sock.IPv6),
		},
		Counted: map[string]int64{wireHeaderErrors: 2},
	}
	expectWire(ctx, plan, "::1 on the wire")
})

var _ = suite.It("answers no connection that is asked for from the network as ::ffff:127.0.0.1", check.Check{
	ID: "ADDR-020", Grade: check.GradeAdvice, OS: "linux", Needs: append([]check.Need{wireIPv6}, wireNeeds...),
	Source: "draft-itojun-v6ops-v4mapped-harmful; linux, net/ipv6/tcp_ipv6.c, tcp_v6_conn_request (Linux 5.12, and the long-term ones of 2021; from 5.4 to 5.11 every packet with such a source was dropped)",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour, has the neighbour send a SYN of IPv6 that comes from ::ffff:127.0.0.1, to a dual-stack listener on [::]. It may not be answered, and Ip6InHdrErrors must grow. A datagram from there is sent as well, and reported: since Linux 5.12 a dual-stack UDP socket receives it as if it came from 127.0.0.1.",
	Why:    "To a server on [::] such a packet looks as if it came from 127.0.0.1 over IPv4. Servers that serve or obey local clients alone would be fooled by anybody on the network; those over UDP (DNS resolvers, SNMP, RADIUS, sFlow) still are, and need a rule or a socket of IPv4 of their own.",
	Causes: []string{
		"a kernel before 5.4 that lacks the fix, which the long-term ones were given later",
		wireForeignStack, wireForeignCode,
	},
	Remedies: []string{
		"update the kernel",
		"keep such packets out, which helps UDP as well: `nft add table ip6 guard`, `nft add chain ip6 guard pre '{ type filter hook prerouting priority raw; }'`, `nft add rule ip6 guard pre ip6 saddr ::ffff:0:0/96 drop`",
		wireLookForCode,
	},
}, func(ctx SpecContext) {
	syn := wireFrom(mapped, wireOwn6.Addr(), "a SYN from ::ffff:127.0.0.1")
	syn.SYN = true
	asked := wirePlan{
		IPv6: true, Listens: true,
		At:      netip.IPv6Unspecified(),
		Send:    []wireDatagram{syn, wireControl(sock.IPv6)},
		Counted: map[string]int64{wireHeaderErrors: 1},
	}
	expectWire(ctx, asked, "a SYN from ::ffff:127.0.0.1 on the wire")

	datagram := wireFrom(mapped, wireOwn6.Addr(), "a datagram from ::ffff:127.0.0.1")
	datagram.May = true
	sent := wirePlan{
		IPv6: true,
		At:   netip.IPv6Unspecified(),
		Send: []wireDatagram{datagram, wireControl(sock.IPv6)},
	}
	seen := expectWire(ctx, sent, "a datagram from ::ffff:127.0.0.1 on the wire")
	became := "dropped"
	if slices.Contains(seen.Arrived, datagram.Text) {
		became = "let in, as this kernel does: servers on [::] that trust 127.0.0.1 over UDP can be fooled by a neighbour"
	}
	spec.Evidence("UDP", "%s", became)
})
