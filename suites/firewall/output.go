package firewall

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// droppedOnTheWayOut is the rules of two checks: one asks what becomes of the
// packets, the other what their sender is told.
var droppedOnTheWayOut = ruleset{Hook: output, Policy: verdict.Accept, Rules: []rule{
	{Protocols: bothProtocols, Port: port, Does: dropped},
}}

var _ = suite.It("drops on its way out what a rule of the output hook drops", check.Check{
	ID: "FW-019", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "nft(8), VERDICT STATEMENT, drop; ADDRESS FAMILIES, output",
	Asks:     "In a sandbox, a rule of the output hook drops TCP and UDP to port 7777. A SYN and a datagram, over IPv4 and IPv6, to a server on lo and to one outside through eth0, must be counted and bring nothing back.",
	Why:      "Rules for what leaves keep a broken or hostile program from reaching others, and a database from being asked by the wrong service of the machine. Where they do not hold, nothing tells.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Ruleset:   droppedOnTheWayOut,
		Questions: each(bothProtocols, bothFamilies, waysOut, question{Port: port, Want: dropped}),
	})
})

var _ = suite.It("tells the sender of a datagram that the output hook drops it, with EPERM", check.Check{
	ID: "FW-020", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "linux",
	Asks:     "In a sandbox, a rule of the output hook drops UDP to port 7777. The send of a datagram, over IPv4 and IPv6, to a server on lo and to one outside through eth0, must fail with EPERM.",
	Why:      "It is how an operator finds out: a program that logs \"operation not permitted\" from a send has met its own machine's firewall, not the network. Resolvers give up at once by it instead of waiting for an answer.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Ruleset:   droppedOnTheWayOut,
		Questions: each([]sock.Kind{sock.UDP}, bothFamilies, waysOut, question{Port: port, Want: dropped, Refused: true}),
	})
})

var _ = suite.It("rejects on its way out what a rule of the output hook rejects", check.Check{
	ID: "FW-021", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables, nftReject},
	Source:   "nft(8), REJECT STATEMENT (valid in the input, forward and output hooks)",
	Asks:     "In a sandbox, rules of the output hook reject TCP to port 7777 with `reject with tcp reset` and UDP with `reject with icmpx admin-prohibited`. A SYN and a datagram, over IPv4 and IPv6, to a server on lo and to one outside through eth0, must be answered so by the machine itself.",
	Why:      "A program that may not reach something should learn it at once. Where the machine's own rejection is lost, a forbidden connection hangs until it times out, and looks like a fault of the network.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	onlyTCP, onlyUDP := []sock.Kind{sock.TCP}, []sock.Kind{sock.UDP}
	verify(ctx, plan{
		Ruleset: ruleset{Hook: output, Policy: verdict.Accept, Inet: true, Rules: []rule{
			{Protocols: onlyTCP, Port: port, Does: rejected(verdict.TCPReset)},
			{Protocols: onlyUDP, Port: port, Does: rejected("icmpx admin-prohibited")},
		}},
		Questions: slices.Concat(
			each(onlyTCP, bothFamilies, waysOut, question{Port: port, Want: rejected(verdict.TCPReset)}),
			each(onlyUDP, []sock.Family{sock.IPv4}, waysOut, question{Port: port, Rule: 1, Want: rejected("icmp admin-prohibited")}),
			each(onlyUDP, []sock.Family{sock.IPv6}, waysOut, question{Port: port, Rule: 1, Want: rejected("icmpv6 admin-prohibited")}),
		),
	})
})
