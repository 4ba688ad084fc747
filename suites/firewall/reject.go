package firewall

import (
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// icmpRejections are the checks of `reject with icmp` and `reject with icmpv6`,
// one for each kind.
var icmpRejections = []struct {
	id   string
	kind verdict.Kind
	// name is the kind in a sentence, tells the error that a program gets.
	name, tells, why string
}{
	{
		"FW-005", "icmp net-unreachable", "ICMP network unreachable", "ENETUNREACH",
		"Border firewalls answer so for networks that they do not serve, and a client goes on to the next address of a name.",
	},
	{
		"FW-006", "icmp host-unreachable", "ICMP host unreachable", "EHOSTUNREACH",
		"It is what a router says of a host that is down: a firewall that hides one answers the same, and clients turn to another.",
	},
	{
		"FW-007", "icmp prot-unreachable", "ICMP protocol unreachable", "ENOPROTOOPT",
		"Tunnels and VPNs learn by it that a transport is not to be had, and fall back to another.",
	},
	{
		"FW-008", "icmp port-unreachable", "ICMP port unreachable", "ECONNREFUSED",
		"It is what `reject` means when it says no more. Resolvers and QUIC clients take it for a closed port and try the next server.",
	},
	{
		"FW-009", "icmp net-prohibited", "ICMP network administratively prohibited", "ENETUNREACH",
		"It says that a rule, not a fault, keeps the client from a whole network, which saves a search for the fault.",
	},
	{
		"FW-010", "icmp host-prohibited", "ICMP host administratively prohibited", "EHOSTUNREACH",
		"Rule sets of many Linux servers end with it (`REJECT --reject-with icmp-host-prohibited`), and \"no route to host\" of a host that answers pings is known as its sign.",
	},
	{
		"FW-011", "icmp admin-prohibited", "ICMP communication administratively prohibited", "EHOSTUNREACH",
		"firewalld and routers' access lists answer with it; monitoring tells a closed firewall from a dead host by it.",
	},
	{
		"FW-012", "icmpv6 no-route", "ICMPv6 no route to destination", "ENETUNREACH",
		"A client that is told so over IPv6 turns to IPv4 at once; without it every connection waits first.",
	},
	{
		"FW-013", "icmpv6 admin-prohibited", "ICMPv6 communication administratively prohibited", "EACCES",
		"firewalld and the IPv6 filters of home routers answer with it; \"permission denied\" from a connect is known as its sign.",
	},
	{
		"FW-014", "icmpv6 addr-unreachable", "ICMPv6 address unreachable", "EHOSTUNREACH",
		"It is what a router says of a neighbour that does not answer: a firewall that hides a host says the same.",
	},
	{
		"FW-015", "icmpv6 port-unreachable", "ICMPv6 port unreachable", "ECONNREFUSED",
		"It is what `reject` means over IPv6 when it says no more. Resolvers and QUIC clients take it for a closed port and try the next server.",
	},
	{
		"FW-016", "icmpv6 policy-fail", "ICMPv6 source address failed policy", "EACCES",
		"Filters against forged source addresses answer with it, and a host with several addresses learns that it chose the wrong one.",
	},
	{
		"FW-017", "icmpv6 reject-route", "ICMPv6 reject route to destination", "EACCES",
		"It tells a route that was closed on purpose from one that is missing.",
	},
}

var _ = declareRejections()

func declareRejections() bool {
	for _, r := range icmpRejections {
		kinds := verdict.ICMPKinds()
		k := kinds[slices.IndexFunc(kinds, func(k verdict.ICMPKind) bool { return k.Kind == r.kind })]
		needs := []check.Need{check.Sandbox, nfTables, nftReject}
		if k.Family == sock.IPv6 {
			needs = append(needs, check.IPv6)
		}
		suite.It(fmt.Sprintf("rejects with %s, type %d code %d, where a rule says so", r.name, k.Type, k.Code), check.Check{
			ID: r.id, Grade: check.GradeFail, OS: "linux", Needs: needs,
			Source: fmt.Sprintf("nft(8), REJECT STATEMENT; %s (%s)", k.Source, k.Meaning),
			Asks: fmt.Sprintf("In a sandbox, a rule of the input hook rejects TCP and UDP to port 7777 with `reject with %s`. A SYN and a datagram over %s, on lo and from outside through eth0, must each be answered by an error of type %d and code %d, as the socket's error queue has it, though servers listen on the port.",
				k.Kind, k.Family, k.Type, k.Code),
			Why:      fmt.Sprintf("The client is told %s at once and need not wait for a timeout. %s", r.tells, r.why),
			Causes:   causes,
			Remedies: remedies,
		}, func(ctx SpecContext) {
			verify(ctx, plan{
				Ruleset: ruleset{Hook: input, Policy: verdict.Accept, Rules: []rule{
					{Protocols: bothProtocols, Port: port, Does: rejected(k.Kind)},
				}},
				Questions: each(bothProtocols, []sock.Family{k.Family}, waysIn, question{Port: port, Want: rejected(k.Kind)}),
			})
		})
	}
	return true
}

// icmpx is what each rejection of the table family inet is to its packets'
// families.
var icmpx = []struct{ kind, v4, v6 verdict.Kind }{
	{"icmpx port-unreachable", "icmp port-unreachable", "icmpv6 port-unreachable"},
	{"icmpx admin-prohibited", "icmp admin-prohibited", "icmpv6 admin-prohibited"},
	{"icmpx no-route", "icmp net-unreachable", "icmpv6 no-route"},
	{"icmpx host-unreachable", "icmp host-unreachable", "icmpv6 addr-unreachable"},
}

var _ = suite.It("rejects with each family's own error where a rule for both says icmpx", check.Check{
	ID: "FW-018", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables, nftReject},
	Source:   "nft(8), REJECT STATEMENT and ICMPVX CODE TYPE",
	Asks:     "In a sandbox, rules of a table of the family inet reject ports 7777 to 7780 with icmpx port-unreachable, admin-prohibited, no-route and host-unreachable. SYNs and datagrams over IPv4 must be answered by ICMP type 3 with code 3, 13, 0 and 1, those over IPv6 by ICMPv6 type 1 with code 4, 1, 0 and 3; on lo and from outside through eth0.",
	Why:      "Most rule sets of today have one table for both families, where a plain `reject` means icmpx port-unreachable. Where one family's error is wrong or missing, its clients hang while the other's are told at once.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	p := plan{Ruleset: ruleset{Hook: input, Policy: verdict.Accept, Inet: true}}
	for i, x := range icmpx {
		at := port + uint16(i)
		p.Ruleset.Rules = append(p.Ruleset.Rules, rule{Protocols: bothProtocols, Port: at, Does: rejected(x.kind)})
		p.Questions = slices.Concat(p.Questions,
			each(bothProtocols, []sock.Family{sock.IPv4}, waysIn, question{Port: at, Rule: i, Want: rejected(x.v4)}),
			each(bothProtocols, []sock.Family{sock.IPv6}, waysIn, question{Port: at, Rule: i, Want: rejected(x.v6)}),
		)
	}
	verify(ctx, p)
})
