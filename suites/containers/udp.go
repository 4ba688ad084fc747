package containers

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// udpPort is `docker run -p 8080:80/udp`.
func udpPort(zone string) publication {
	return publication{Protocol: sock.UDP, Port: published, Zone: zone, To: inside}
}

var _ = suite.It("publishes UDP ports, and answers from the address that was asked", check.Check{
	ID: "CTR-021", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "nft(8), NAT STATEMENTS, dnat; RFC 1122 4.1.3.5 (the source of a reply)",
	Asks:     "In a sandbox, the UDP port 8080 is published to port 80 of a container. A datagram to the host's address, from outside and from the host, over IPv4 and IPv6, must be answered from that address, and the container must see the outside's own. By the rules of an engine without a proxy and with route_localnet 1 the same must hold at the host's 127.0.0.1.",
	Why:      "DNS, QUIC, VPNs and games in containers need it. A client drops an answer that comes from another address than it asked, so that a translation that is not undone looks like a dead service.",
	Causes:   forwardingCauses,
	Remedies: forwardingRemedies,
}, func(ctx SpecContext) {
	withoutProxy := docker{Containers: []string{web}, Ports: []publication{udpPort(web)}, WithoutProxy: true}
	verify(ctx, plan{
		Zones: []string{outside, web},
		Services: forBoth(func(f sock.Family) []service {
			return []service{{Zone: web, Protocol: sock.UDP, At: containersOn[web].port(f, inside)}}
		}),
		Phases: []phase{
			{
				Rules: docker{Containers: []string{web}, Ports: []publication{udpPort(web)}}.nftables(),
				Questions: forBoth(func(f sock.Family) []question {
					at := hostOutside.port(f, published)
					return []question{ask(outside, at, web).seenFrom(outsideOwn.of(f)).datagram(), ask(host, at, web).datagram()}
				}),
			},
			{
				Rules:     slices.Concat(without(withoutProxy.nftables()), withoutProxy.nftables()),
				Settings:  routeLocalnet("docker0", "1"),
				Questions: []question{ask(host, sock.IPv4.Loopback(published), web).datagram().given("without a proxy")},
			},
		},
	})
})

var _ = suite.It("keeps a UDP flow at the old container until connection tracking forgets it", check.Check{
	ID: "CTR-022", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source: "nft(8), NAT STATEMENTS: only the first packet of a connection meets the rules; conntrack(8)",
	Asks:   "In a sandbox, a client outside sends datagrams from one socket to a published UDP port. Then the rules publish the port to another container, as after a restart with another address. The old flow must go on to the old container, a new one to the new container, and the old one as well once its entry in the table of connections is deleted.",
	Why:    "A client that keeps sending (a DNS forwarder, syslog, a VPN, a SIP phone) renews the entry for ever, and after a restart of the container sends into the void while everybody else is served. Engines delete the entries; home-made rules and other tools do not.",
	Causes: append([]string{
		"on a real host: the rules were changed by a tool that does not delete entries of connection tracking",
		"rules that take packets out of connection tracking (`notrack`)",
	}, causes...),
	Remedies: append([]string{"delete the entries of the port: `conntrack -D -p udp --orig-port-dst 8080`"}, remedies...),
}, func(ctx SpecContext) {
	f, at := sock.IPv4, hostOutside.port(sock.IPv4, published)
	publish := func(zone string) docker {
		return docker{Containers: []string{web, app}, Ports: []publication{udpPort(zone)}}
	}
	const flow = "the old flow"
	verify(ctx, plan{
		Zones: []string{outside, web, app},
		Services: []service{
			{Zone: web, Protocol: sock.UDP, At: containersOn[web].port(f, inside), Name: "the old container"},
			{Zone: app, Protocol: sock.UDP, At: containersOn[app].port(f, inside), Name: "the new container"},
		},
		Phases: []phase{
			{
				Rules:     publish(web).nftables(),
				Questions: []question{ask(outside, at, "the old container").datagram().over(flow)},
			},
			{
				Rules: slices.Concat(without(publish(web).nftables()), publish(app).nftables()),
				Questions: []question{
					ask(outside, at, "the old container").datagram().over(flow).given("published anew"),
					ask(outside, at, "the new container").datagram().given("published anew"),
				},
			},
			{
				Forgets:   true,
				Questions: []question{ask(outside, at, "the new container").datagram().over(flow).given("forgotten")},
			},
		},
	})
})
