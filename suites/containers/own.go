package containers

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
)

var _ = suite.It("gives every network namespace a localhost of its own", check.Check{
	ID: "CTR-001", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, bridgeDevices},
	Source: "network_namespaces(7); RFC 1122 3.2.1.3(g); RFC 4291 2.5.3",
	Asks:   "In a sandbox, a service of the host and one of a container listen on one port, each on its own 127.0.0.1 and ::1. Each must reach its own there. A port that only the host, or only the container, listens on must refuse the other.",
	Why:    "It is why a program in a container that is told to use a database on localhost does not find the host's, and why a service on the host's localhost is closed to containers. Where namespaces share it, a container reaches what was meant for the host alone.",
	Causes: append([]string{"the container was started with the host's network (`--network host`), so that it has no namespace of its own"}, causes...),
	Remedies: append([]string{
		"from a container, reach the host by the name host.docker.internal, or host.containers.internal with Podman: `docker run --add-host=host.docker.internal:host-gateway …`",
	}, remedies...),
}, func(ctx SpecContext) {
	const hostOnly, webOnly = 7001, 7002
	verify(ctx, plan{
		Zones: []string{web},
		Services: forBoth(func(f sock.Family) []service {
			return []service{
				{Zone: host, At: f.Loopback(inside)},
				{Zone: web, At: f.Loopback(inside)},
				{Zone: host, At: f.Loopback(hostOnly)},
				{Zone: web, At: f.Loopback(webOnly)},
			}
		}),
		Phases: []phase{{Questions: forBoth(func(f sock.Family) []question {
			return []question{
				ask(host, f.Loopback(inside), host).seenFrom(f.Loopback(0).Addr()),
				ask(web, f.Loopback(inside), web).seenFrom(f.Loopback(0).Addr()),
				refuse(host, f.Loopback(webOnly), refused),
				refuse(web, f.Loopback(hostOnly), refused),
			}
		})}},
	})
})

var _ = suite.It("lets a container reach the host at its gateway, but not what listens on the host's localhost", check.Check{
	ID: "CTR-012", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, bridgeDevices},
	Source: "Docker, `--add-host host.docker.internal:host-gateway`; RFC 1122 3.2.1.3(g)",
	Asks:   "In a sandbox, the host has a service on all its addresses and one on 127.0.0.1 and ::1 alone. From a container, the first must answer at the address of the bridge, which is what host.docker.internal stands for, and at the host's other address, and see the container's own address; the second must refuse at both.",
	Why:    "It is how a container uses a database or an API that runs on the host. A service on the host's localhost is not reached that way, which is the usual surprise, and the reason why it is safe there.",
	Causes: append([]string{"the host's firewall drops what comes in from the bridge, as ufw and firewalld do by default"}, causes...),
	Remedies: append([]string{
		"bind the host's service to the address of the bridge as well (`ip -4 address show docker0`)",
		"let the bridge in: `ufw allow in on docker0`, `firewall-cmd --zone=trusted --add-interface=docker0`",
	}, remedies...),
}, func(ctx SpecContext) {
	const open, own = 7001, 7002
	bridge := gateways[bridgeOf[web]]
	verify(ctx, plan{
		Zones: []string{web, outside},
		Services: forBoth(func(f sock.Family) []service {
			return []service{
				{Zone: host, At: bridge.port(f, open)},
				{Zone: host, At: hostOutside.port(f, open)},
				{Zone: host, At: f.Loopback(own)},
			}
		}),
		Phases: []phase{{Questions: forBoth(func(f sock.Family) []question {
			return []question{
				ask(web, bridge.port(f, open), host).seenFrom(containersOn[web].of(f)),
				ask(web, hostOutside.port(f, open), host).seenFrom(containersOn[web].of(f)),
				refuse(web, bridge.port(f, own), refused),
				refuse(web, hostOutside.port(f, own), refused),
			}
		})}},
	})
})

var _ = suite.It("lets containers of one bridge reach each other at any port, published or not", check.Check{
	ID: "CTR-013", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "Documentation/networking/bridge.rst; Docker, packet filtering and firewalls (inter-container communication)",
	Asks:     "In a sandbox with Docker's rules, a container asks another on its bridge at a port that is not published, over IPv4 and IPv6. It must be answered and be seen with its own address: nothing is translated within a bridge.",
	Why:      "Services that belong together find each other so, without a port of the host. Where it is broken, an application cannot reach its database; where it is open, every container of the bridge reaches every port of the others.",
	Causes:   append([]string{"net.bridge.bridge-nf-call-iptables is 1, and a rule of the forward hook drops what goes from the bridge to itself, as with `--icc=false`"}, causes...),
	Remedies: append([]string{"see the rules and settings: `nft list chain ip filter FORWARD`, `sysctl net.bridge.bridge-nf-call-iptables`"}, remedies...),
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Zones: []string{web, app},
		Services: forBoth(func(f sock.Family) []service {
			return []service{{Zone: web, At: containersOn[web].port(f, unpublished)}}
		}),
		Phases: []phase{{
			Rules: docker{Containers: []string{web, app}}.nftables(),
			Questions: forBoth(func(f sock.Family) []question {
				return []question{ask(app, containersOn[web].port(f, unpublished), web).seenFrom(containersOn[app].of(f))}
			}),
		}},
	})
})

var _ = suite.It("keeps containers of different bridges apart", check.Check{
	ID: "CTR-014", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source: "nft(8), ADDRESS FAMILIES, forward; Docker, packet filtering and firewalls (isolation of networks)",
	Asks:   "In a sandbox, containers on two bridges reach each other through the host while there are no rules. With Docker's rules, by nftables and then by iptables, neither reaches the other at a port that is not published: nothing comes back.",
	Why:    "Networks are how applications on one host are kept from each other. Where they are not apart, one container that was broken into reaches the databases of all the others.",
	Causes: append([]string{
		"another tool removed the engine's rules, or put an accept before them (`nft list ruleset`)",
		"the daemon runs with `--iptables=false`",
	}, causes...),
	Remedies: append([]string{"have the engine write its rules anew: `systemctl restart docker`"}, remedies...),
}, func(ctx SpecContext) {
	both := docker{Containers: []string{web, db}}
	between := func(to func(from, to string, f sock.Family) question) []question {
		return forBoth(func(f sock.Family) []question { return []question{to(web, db, f), to(db, web, f)} })
	}
	apart := func(how string) []question {
		return between(func(from, to string, f sock.Family) question {
			return refuse(from, containersOn[to].port(f, unpublished), silent).given("with Docker's rules for " + how)
		})
	}
	verify(ctx, plan{
		Zones: []string{web, db},
		Services: forBoth(func(f sock.Family) []service {
			return []service{{Zone: web, At: containersOn[web].port(f, unpublished)}, {Zone: db, At: containersOn[db].port(f, unpublished)}}
		}),
		Phases: []phase{
			{Questions: between(func(from, to string, f sock.Family) question {
				return ask(from, containersOn[to].port(f, unpublished), to).given("without rules")
			})},
			{Rules: both.nftables(), Questions: apart("nftables")},
			{Rules: slices.Concat(without(both.nftables()), both.iptables()), Questions: apart("iptables"), Optional: true},
		},
	})
})
