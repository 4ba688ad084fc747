package firewall

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

var _ = suite.It("lets loopback pass and nothing else where a rule accepts iifname lo", check.Check{
	ID: "FW-022", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "nft(8), META EXPRESSIONS, iifname",
	Asks:     "In a sandbox, the policy of the input hook's chain is drop and a rule accepts `iifname lo`. A SYN and a datagram to port 7777, over IPv4 and IPv6, must be answered by the server on lo, and bring nothing back from outside through eth0.",
	Why:      "This rule stands first in almost every rule set. Where it takes in too much, the machine is open to the network; where it takes in too little, databases, resolvers and web servers of the machine cannot reach each other.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) { verify(ctx, onlyFrom("lo", onLoopback, fromOutside)) })

var _ = suite.It("lets the outside pass and not loopback where a rule accepts iifname eth0", check.Check{
	ID: "FW-023", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "nft(8), META EXPRESSIONS, iifname",
	Asks:     "In a sandbox, the policy of the input hook's chain is drop and a rule accepts `iifname eth0`. A SYN and a datagram to port 7777, over IPv4 and IPv6, must be answered by the server from outside through eth0, and bring nothing back on lo.",
	Why:      "Machines with several networks decide by interface who may reach a service. Where interfaces are mixed up, a service for the inner network is open on the outer one.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) { verify(ctx, onlyFrom("eth0", fromOutside, onLoopback)) })

// onlyFrom asks whether packets of one interface pass, and others do not.
func onlyFrom(name string, open, closed path) plan {
	return plan{
		Ruleset: ruleset{Hook: input, Policy: verdict.Drop, Rules: []rule{
			{Interface: name, Does: accepted},
			{Protocols: bothProtocols, Port: port},
		}},
		Questions: slices.Concat(
			each(bothProtocols, bothFamilies, []path{open}, question{Port: port, Want: accepted}),
			each(bothProtocols, bothFamilies, []path{closed}, question{Port: port, Rule: 1, Want: dropped}),
		),
	}
}
