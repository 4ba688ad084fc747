package containers

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

const publishWhy = "It is what `docker run -p 8080:80` promises. Where it fails, the container runs, its log shows nothing, and its users time out."

var _ = suite.It("reaches a published port at the host's addresses, by Docker's rules for nftables", check.Check{
	ID: "CTR-002", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "nft(8), NAT STATEMENTS, dnat; FIB EXPRESSIONS; Docker with nftables",
	Asks:     "In a sandbox, the port 8080 is published to port 80 of a container by the rules of Docker's nftables backend. It must be reached from outside at the host's address, where the container sees the client's own address, and from the host at that address and at the bridge's, over IPv4.",
	Why:      publishWhy,
	Causes:   forwardingCauses,
	Remedies: forwardingRemedies,
}, func(ctx SpecContext) { verifyPublished(ctx, sock.IPv4, docker.nftables, false) })

var _ = suite.It("reaches a published port at the host's addresses, by Docker's rules for iptables", check.Check{
	ID: "CTR-003", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "iptables-extensions(8), DNAT, addrtype, MASQUERADE; Docker, packet filtering and firewalls",
	Asks:     "In a sandbox, the port 8080 is published to port 80 of a container by the chains that Docker writes with iptables (DOCKER in nat PREROUTING and OUTPUT, by addrtype LOCAL), through iptables-nft. It must be reached from outside at the host's address, where the container sees the client's own address, and from the host at that address and at the bridge's, over IPv4.",
	Why:      publishWhy,
	Causes:   append([]string{"iptables-legacy and iptables-nft are both in use on a real host, and the rules of one drop what those of the other let through"}, forwardingCauses...),
	Remedies: append([]string{"see which of the two the engine writes: `iptables-nft -t nat -S DOCKER`, `iptables-legacy -t nat -S DOCKER`; choose one with `update-alternatives --config iptables`"}, forwardingRemedies...),
}, func(ctx SpecContext) { verifyPublished(ctx, sock.IPv4, docker.iptables, false) })

var _ = suite.It("reaches a published port at the host's IPv6 addresses", check.Check{
	ID: "CTR-017", Grade: check.GradeFail, OS: "linux", Needs: append([]check.Need{check.IPv6}, needs...),
	Source:   "nft(8), NAT STATEMENTS, dnat; Docker, IPv6 networking",
	Asks:     "In a sandbox, the port 8080 is published to port 80 of a container with an IPv6 address by Docker's rules for nftables, and by those for ip6tables. It must be reached from outside at the host's IPv6 address, where the container sees the client's own address, and from the host at that address and at the bridge's.",
	Why:      "Clients try IPv6 first, and localhost and many names stand for both. Where only IPv4 is published, they wait or fail before they try the other.",
	Causes:   append([]string{"on a real host: net.ipv6.conf.all.forwarding is 0, or the container network was made without `--ipv6`"}, causes...),
	Remedies: append([]string{"turn forwarding on with `sysctl -w net.ipv6.conf.all.forwarding=1`, and make the network with `docker network create --ipv6 NAME`"}, remedies...),
}, func(ctx SpecContext) {
	verifyPublished(ctx, sock.IPv6, docker.nftables, false)
	verifyPublished(ctx, sock.IPv6, docker.iptables, true)
})

// verifyPublished publishes a port by some rules and asks for it from everywhere. What
// is optional is only recorded where the rules cannot be loaded.
func verifyPublished(ctx SpecContext, f sock.Family, write func(docker) []ruleset.File, optional bool) {
	GinkgoHelper()
	bridge := gateways[bridgeOf[web]]
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(f, inside)}},
		Phases: []phase{{
			Optional: optional,
			Rules:    write(docker{Containers: []string{web}, Ports: []publication{httpPort}}),
			Questions: []question{
				ask(outside, hostOutside.port(f, published), web).seenFrom(outsideOwn.of(f)),
				ask(host, hostOutside.port(f, published), web),
				ask(host, bridge.port(f, published), web),
			},
		}},
	})
}

var _ = suite.It("refuses a published port whose service listens on the container's localhost alone", check.Check{
	ID: "CTR-006", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "RFC 1122 3.2.1.3(g); nft(8), NAT STATEMENTS, dnat",
	Asks:     "In a sandbox, a container's service listens on its 127.0.0.1:80 and nowhere else, and port 8080 of the host is published to port 80. A connection from outside and one from the host must be refused by the container. Through a userland proxy at the host's 127.0.0.1 it must be taken and closed without a byte.",
	Why:      "Many programs listen on 127.0.0.1 unless they are told otherwise. In a container that is its own localhost, and nothing that publishes reaches it: connection refused, or, through docker-proxy, an empty reply.",
	Causes:   append([]string{"net.ipv4.conf.eth0.route_localnet is 1 inside of the container and a rule there translates to 127.0.0.1"}, causes...),
	Remedies: append([]string{"have the service in the container listen on 0.0.0.0 (and [::])"}, remedies...),
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: sock.IPv4.Loopback(inside)}},
		Proxies:  []proxy{{At: sock.IPv4.Loopback(published), To: containersOn[web].port(sock.IPv4, inside)}},
		Phases: []phase{{
			Rules: docker{Containers: []string{web}, Ports: []publication{httpPort}}.nftables(),
			Questions: []question{
				ask(web, sock.IPv4.Loopback(inside), web),
				refuse(outside, hostOutside.port(sock.IPv4, published), refused),
				refuse(host, hostOutside.port(sock.IPv4, published), refused),
				refuse(host, sock.IPv4.Loopback(published), closed).given("through a proxy"),
			},
		}},
	})
})

var _ = suite.It("keeps a port that is not published from the outside", check.Check{
	ID: "CTR-015", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "nft(8), ADDRESS FAMILIES, forward; Docker, packet filtering and firewalls (direct access to containers)",
	Asks:     "In a sandbox, the outside routes the containers' network through the host, and reaches a container so while there are no rules. With Docker's rules a published and an unpublished port of the container's own address are silent from there, while the published one answers at the host's address.",
	Why:      "Whoever is on the host's network can send packets for 172.17.0.0/16 to the host. Without these rules every port of every container would be open to them, published or not.",
	Causes:   append([]string{"the daemon runs with `--iptables=false`, or another tool removed its rules while net.ipv4.ip_forward stayed 1"}, causes...),
	Remedies: append([]string{"have the engine write its rules anew: `systemctl restart docker`"}, remedies...),
}, func(ctx SpecContext) {
	f := sock.IPv4
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(f, inside)}, {Zone: web, At: containersOn[web].port(f, unpublished)}},
		Phases: []phase{
			{Questions: []question{ask(outside, containersOn[web].port(f, unpublished), web).given("without rules")}},
			{
				Rules: docker{Containers: []string{web}, Ports: []publication{httpPort}}.nftables(),
				Questions: []question{
					refuse(outside, containersOn[web].port(f, unpublished), silent),
					refuse(outside, containersOn[web].port(f, inside), silent),
					ask(outside, hostOutside.port(f, published), web),
				},
			},
		},
	})
})

var _ = suite.It("sends what containers ask of the outside from the host's address, where the host forwards", check.Check{
	ID: "CTR-016", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "nft(8), NAT STATEMENTS, masquerade; Documentation/networking/ip-sysctl.rst, ip_forward",
	Asks:     "In a sandbox with Docker's rules, a container asks a service outside, over IPv4 and IPv6. It must be answered, and be seen there with the host's address. With net.ipv4.ip_forward 0 a new connection must stay without an answer.",
	Why:      "Every image pull within a build, every API call and every update of a container goes this way. ip_forward is the setting that most often takes it away, as nothing else on a host needs it.",
	Causes:   forwardingCauses,
	Remedies: forwardingRemedies,
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Zones: []string{outside, web},
		Services: forBoth(func(f sock.Family) []service {
			return []service{{Zone: outside, At: outsideOwn.port(f, inside)}}
		}),
		Phases: []phase{
			{
				Rules: docker{Containers: []string{web}}.nftables(),
				Questions: forBoth(func(f sock.Family) []question {
					return []question{ask(web, outsideOwn.port(f, inside), outside).seenFrom(hostOutside.of(f))}
				}),
			},
			{
				Settings: map[string]string{"net.ipv4.ip_forward": "0"},
				Questions: []question{
					refuse(web, outsideOwn.port(sock.IPv4, inside), silent).given("with net.ipv4.ip_forward 0"),
				},
			},
		},
	})
})
