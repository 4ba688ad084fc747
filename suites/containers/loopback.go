package containers

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// routeLocalnet is the setting that lets 127.0.0.0/8 pass an interface.
func routeLocalnet(name, value string) map[string]string {
	return map[string]string{"net.ipv4.conf." + name + ".route_localnet": value}
}

const localnetSource = "Documentation/networking/ip-sysctl.rst, route_localnet"

var _ = suite.It("reaches a published port at the host's 127.0.0.1 by rules alone, where route_localnet is set", check.Check{
	ID: "CTR-004", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   localnetSource + "; Docker, `--userland-proxy=false`",
	Asks:     "In a sandbox, port 8080 is published to port 80 of a container by the rules of an engine without a userland proxy. At the host's 127.0.0.1 it must not be reached while route_localnet of the bridge is 0, and must be reached once that is 1, where the container sees the bridge's address.",
	Why:      "Developers open http://127.0.0.1:8080. Without a proxy process, only this setting and a rule of the output hook lead from there to a container.",
	Causes:   append([]string{"on a real host: net.ipv4.conf.docker0.route_localnet is 0, as after `sysctl --system` or with another bridge than docker0", "a rule that translates only what does not go to 127.0.0.0/8"}, causes...),
	Remedies: append([]string{"let the engine run its proxy (remove `\"userland-proxy\": false` from /etc/docker/daemon.json), or set `sysctl -w net.ipv4.conf.docker0.route_localnet=1`"}, remedies...),
}, func(ctx SpecContext) {
	at := sock.IPv4.Loopback(published)
	verify(ctx, plan{
		Zones:    []string{web},
		Services: []service{{Zone: web, At: containersOn[web].port(sock.IPv4, inside)}},
		Phases: []phase{
			{
				Rules:    docker{Containers: []string{web}, Ports: []publication{httpPort}, WithoutProxy: true}.nftables(),
				Settings: routeLocalnet("docker0", "1"),
				Questions: []question{
					ask(host, at, web).seenFrom(gateways["docker0"].of(sock.IPv4)).given("with route_localnet 1"),
				},
			},
			{
				Settings:  routeLocalnet("docker0", "0"),
				Questions: []question{refuse(host, at, silent).given("with route_localnet 0")},
			},
		},
	})
})

var _ = suite.It("reaches a published port at the host's 127.0.0.1 and ::1 through a userland proxy", check.Check{
	ID: "CTR-005", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "Docker, `--userland-proxy`; RFC 9293 3.3.2",
	Asks:     "In a sandbox with the rules of an engine that runs a proxy, a process of the host listens on 127.0.0.1:8080 and [::1]:8080 and relays to port 80 of a container. Both must be answered, without any setting, and the container must see the bridge's address in the place of the client's.",
	Why:      "This is what answers at localhost in Docker's usual setup, and for Podman without root. Its price: the container sees one address for all clients, so that logs and limits by address mean nothing.",
	Causes:   append([]string{"on a real host: the proxy's process was killed, or its program is missing (`docker-proxy`, `rootlessport`, `pasta`)", "a rule of the host's output hook drops what goes to the bridge"}, causes...),
	Remedies: append([]string{"see who listens: `loopcheck ports list`, and start the container anew"}, remedies...),
}, func(ctx SpecContext) {
	to := containersOn[web].port(sock.IPv4, inside)
	verify(ctx, plan{
		Zones:    []string{web},
		Services: []service{{Zone: web, At: to}},
		Proxies:  []proxy{{At: sock.IPv4.Loopback(published), To: to}, {At: sock.IPv6.Loopback(published), To: to}},
		Phases: []phase{{
			Rules: docker{Containers: []string{web}, Ports: []publication{httpPort}}.nftables(),
			Questions: forBoth(func(f sock.Family) []question {
				return []question{ask(host, f.Loopback(published), web).seenFrom(gateways["docker0"].of(sock.IPv4))}
			}),
		}},
	})
})

var _ = suite.It("never reaches a port at ::1 by rules alone", check.Check{
	ID: "CTR-018", Grade: check.GradeWarn, OS: "linux", Needs: append([]check.Need{check.IPv6}, needs...),
	Source:   "linux; RFC 4291 2.5.3: a packet from ::1 must not leave the node",
	Asks:     "In a sandbox, port 8080 is published over IPv6 by the rules of an engine without a userland proxy. It must be answered at the host's other address, and not at ::1: IPv6 has no route_localnet.",
	Why:      "localhost stands for ::1 first. Where an engine runs without its proxy, a client that does not go on to 127.0.0.1 finds nothing, though the port is published over both.",
	Causes:   causes,
	Remedies: append([]string{"let the engine run its proxy, or ask at 127.0.0.1"}, remedies...),
}, func(ctx SpecContext) {
	f := sock.IPv6
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(f, inside)}},
		Phases: []phase{{
			Rules: docker{Containers: []string{web}, Ports: []publication{httpPort}, WithoutProxy: true}.nftables(),
			Questions: []question{
				ask(host, hostOutside.port(f, published), web),
				refuse(host, f.Loopback(published), silent),
			},
		}},
	})
})

var _ = suite.It("keeps a port that is published on 127.0.0.1 from the outside", check.Check{
	ID: "CTR-007", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source: localnetSource + "; Docker, port publishing (`-p 127.0.0.1:8080:80`)",
	Asks: "In a sandbox, port 8080 is published on the host's 127.0.0.1 alone, by Docker's rules and a proxy. It must be reached there. " +
		"From outside it must be refused at the host's address, and silent at 127.0.0.1, for which the outside sends packets to the host: also where route_localnet is 1, since Docker drops them in the raw table.",
	Why: "It is how a database's port is opened for the developer and nobody else. Before Docker 28 whoever was on the host's network could reach it.",
	Causes: append([]string{
		"net.ipv4.conf.all.route_localnet is 1 and the rule in the raw table is missing, as with Docker before 28",
	}, causes...),
	Remedies: append([]string{"update the engine, and see `loopcheck explain CTR-027` for the setting"}, remedies...),
}, func(ctx SpecContext) {
	at := sock.IPv4.Loopback(published)
	port := httpPort
	port.On = at.Addr()
	fromOutside := func(how string) []question {
		return []question{
			refuse(outside, hostOutside.port(sock.IPv4, published), refused).given(how),
			refuse(outside, at, silent).given(how),
		}
	}
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(sock.IPv4, inside)}},
		Proxies:  []proxy{{At: at, To: containersOn[web].port(sock.IPv4, inside)}},
		Spoofs:   true,
		Phases: []phase{
			{
				Rules:     docker{Containers: []string{web}, Ports: []publication{port}}.nftables(),
				Questions: append([]question{ask(host, at, web)}, fromOutside("with route_localnet 0")...),
			},
			{Settings: routeLocalnet("all", "1"), Questions: fromOutside("with route_localnet 1")},
		},
	})
})

var _ = suite.It("drops what comes to 127.0.0.0/8 from outside, unless route_localnet is set", check.Check{
	ID: "CTR-008", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, bridgeDevices},
	Source:   localnetSource + "; RFC 1122 3.2.1.3(g)",
	Asks:     "In a sandbox, a service of the host listens on 127.0.0.1. The host itself must be answered there. The outside sends it connections through its cable, with 127.0.0.1 as the destination. Nothing must come back while route_localnet is 0. With net.ipv4.conf.all.route_localnet 1 the outside must be answered: that is the danger of the setting.",
	Why:      "Programs on localhost trust that only the machine itself reaches them. With the setting on an interface whoever is on its network does (CVE-2020-8558, where Kubernetes had set it).",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	at := sock.IPv4.Loopback(unpublished)
	verify(ctx, plan{
		Zones:    []string{outside},
		Services: []service{{Zone: host, At: at}},
		Spoofs:   true,
		Phases: []phase{
			{Questions: []question{
				ask(host, at, host),
				refuse(outside, at, silent).given("with route_localnet 0"),
			}},
			{
				Settings:  routeLocalnet("all", "1"),
				Questions: []question{ask(outside, at, host).seenFrom(outsideOwn.of(sock.IPv4)).given("with route_localnet 1")},
			},
		},
	})
})

// kubernetesGuard is the rule with which kube-proxy and kubelet answered
// CVE-2020-8558, for nftables.
var kubernetesGuard = ruleset.File{Name: ruleNames[sock.IPv4] + " against CVE-2020-8558", Format: ruleset.NftScript, Text: `table ip guard {
	chain input {
		type filter hook input priority filter; policy accept;
		ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 ct state != { established, related } ct status & dnat == 0 counter drop
	}
}
`}

var _ = suite.It("closes localhost again by a rule where route_localnet is set", check.Check{
	ID: "CTR-009", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "CVE-2020-8558; nft(8), CONNTRACK EXPRESSIONS, status",
	Asks:     "In a sandbox, net.ipv4.conf.all.route_localnet is 1 and the outside reaches a service on the host's 127.0.0.1. With the rule that Kubernetes added (drop what goes to 127.0.0.0/8 from elsewhere, unless it belongs to a connection or was translated) nothing comes back, while the host itself, and the container that is published at 127.0.0.1, still answer there.",
	Why:      "Hosts that need route_localnet for published ports stay safe only by such a rule. Where connection tracking or the rule fails, every service on localhost is open to the network.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	at := sock.IPv4.Loopback(unpublished)
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: host, At: at}, {Zone: web, At: containersOn[web].port(sock.IPv4, inside)}},
		Spoofs:   true,
		Phases: []phase{
			{
				Rules:     docker{Containers: []string{web}, Ports: []publication{httpPort}, WithoutProxy: true}.nftables(),
				Settings:  routeLocalnet("all", "1"),
				Questions: []question{ask(outside, at, host).given("without the rule")},
			},
			{
				Rules: []ruleset.File{kubernetesGuard},
				Questions: []question{
					refuse(outside, at, silent).given("with the rule"),
					ask(host, at, host).given("with the rule"),
					ask(host, sock.IPv4.Loopback(published), web).given("with the rule"),
				},
			},
		},
	})
})

var _ = suite.It("lets a container reach itself through its own published port", check.Check{
	ID: "CTR-010", Grade: check.GradeFail, OS: "linux", Needs: slices.Concat(needs, []check.Need{bridgedRules}),
	Source:   "ip-link(8), bridge_slave, hairpin; Documentation/networking/ip-sysctl.rst, bridge-nf-call-iptables; nft(8), NAT STATEMENTS, masquerade",
	Asks:     "In a sandbox with the rules of an engine without a userland proxy, a container asks for its own published port at the host's address. It must be answered by itself, and see the bridge's address in the place of its own. With net.bridge.bridge-nf-call-iptables 1 the packet is translated within the bridge: then nothing must come back while the bridge's port is not in hairpin mode, and the answer must come in it.",
	Why:      "A program that is told its public URL, and calls itself by it, needs this. It works in every test that is run from elsewhere.",
	Causes:   append([]string{"hairpin mode is off at the bridge's port, as with a plugin that does not set it"}, causes...),
	Remedies: append([]string{"see the ports of the bridge: `bridge -d link show`; set it with `bridge link set dev VETH hairpin on`, or let the engine run its proxy"}, remedies...),
}, func(ctx SpecContext) {
	at := hostOutside.port(sock.IPv4, published)
	itself := ask(web, at, web).seenFrom(gateways["docker0"].of(sock.IPv4))
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(sock.IPv4, inside)}},
		Phases: []phase{
			{
				Rules:     docker{Containers: []string{web}, Ports: []publication{httpPort}, WithoutProxy: true}.nftables(),
				Questions: []question{itself.given("with bridge-nf-call-iptables 0")},
			},
			{
				Settings:  map[string]string{bridgeCallIPv4: "1"},
				Questions: []question{refuse(web, at, silent).given("with bridge-nf-call-iptables 1")},
			},
			{
				Hairpin:   []string{veth(web)},
				Questions: []question{itself.given("with bridge-nf-call-iptables 1, in hairpin mode")},
			},
		},
	})
})

var _ = suite.It("lets a neighbour on the bridge reach a published port, where bridged packets meet the rules", check.Check{
	ID: "CTR-011", Grade: check.GradeFail, OS: "linux", Needs: slices.Concat(needs, []check.Need{bridgedRules}),
	Source:   "Documentation/networking/ip-sysctl.rst, bridge-nf-call-iptables",
	Asks:     "In a sandbox with the rules of an engine without a userland proxy, a container asks for the published port of another on its bridge, at the host's address. With net.bridge.bridge-nf-call-iptables 0 the answer goes straight over the bridge, is not translated back, and so is not taken. With 1 it must be answered, and the container must see the other's own address.",
	Why:      "Two containers that use each other's public names meet this. Kubernetes needs it for services whose pods are on one node, and asks for the setting in its installation guide.",
	Causes:   append([]string{"on a real host: net.bridge.bridge-nf-call-iptables is 0, or the module br_netfilter was not loaded when the sysctl files were applied"}, causes...),
	Remedies: append([]string{"load and set it: `modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1`, and the same in /etc/modules-load.d and /etc/sysctl.d"}, remedies...),
}, func(ctx SpecContext) {
	f, at := sock.IPv4, hostOutside.port(sock.IPv4, published)
	verify(ctx, plan{
		Zones:    []string{outside, web, app},
		Services: []service{{Zone: web, At: containersOn[web].port(f, inside)}},
		Phases: []phase{
			{
				Rules:     docker{Containers: []string{web, app}, Ports: []publication{httpPort}, WithoutProxy: true}.nftables(),
				Questions: []question{refuse(app, at, silent).given("with bridge-nf-call-iptables 0")},
			},
			{
				Settings:  map[string]string{bridgeCallIPv4: "1"},
				Questions: []question{ask(app, at, web).seenFrom(containersOn[app].of(f)).given("with bridge-nf-call-iptables 1")},
			},
		},
	})
})
