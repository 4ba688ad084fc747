package firewall

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

var _ = suite.It("lets through what a rule accepts", check.Check{
	ID: "FW-001", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "nft(8), VERDICT STATEMENT, accept",
	Asks:     "In a sandbox, a rule of the input hook accepts TCP and UDP to port 7777 and a later one drops the same. A SYN and a datagram, over IPv4 and IPv6, on lo and from outside through eth0, must each be answered by the server behind it, and the first rule must have counted them.",
	Why:      "Rules are read from the top and the first that decides ends the chain. Where a later rule still applies, or an accepted packet is lost, services that the rules open are not reached, and no rule set can be reasoned about.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Ruleset: ruleset{Hook: input, Policy: verdict.Accept, Rules: []rule{
			{Protocols: bothProtocols, Port: port, Does: accepted},
			{Protocols: bothProtocols, Port: port, Does: dropped},
		}},
		Questions: each(bothProtocols, bothFamilies, waysIn, question{Port: port, Want: accepted}),
	})
})

var _ = suite.It("drops in silence what a rule drops", check.Check{
	ID: "FW-002", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "nft(8), VERDICT STATEMENT, drop",
	Asks:     "In a sandbox, a rule of the input hook drops TCP and UDP to port 7777 and a later one accepts the same. A SYN and a datagram, over IPv4 and IPv6, on lo and from outside through eth0, must be counted by the first rule and bring nothing back: no SYN-ACK, no RST, no ICMP error, no datagram, though servers listen on the port.",
	Why:      "A drop is what hides a service and takes a flood's load off the machine. Where the packet comes through, the service is open to everyone; where it is answered, the machine shows itself and spends on each packet of a flood.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Ruleset: ruleset{Hook: input, Policy: verdict.Accept, Rules: []rule{
			{Protocols: bothProtocols, Port: port, Does: dropped},
			{Protocols: bothProtocols, Port: port, Does: accepted},
		}},
		Questions: each(bothProtocols, bothFamilies, waysIn, question{Port: port, Want: dropped}),
	})
})

var _ = suite.It("drops in silence what no rule accepts where the policy is drop", check.Check{
	ID: "FW-003", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables},
	Source:   "nft(8), CHAINS, policy",
	Asks:     "In a sandbox, the policy of the input hook's chain is drop, and its only rule about port 7777 counts. A SYN and a datagram, over IPv4 and IPv6, on lo and from outside through eth0, must be counted and bring nothing back, though servers listen on the port.",
	Why:      "A policy of drop is the last line of almost every rule set: what nobody thought of stays closed. Where it does not hold, every service that was started without a rule is open.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	verify(ctx, plan{
		Ruleset: ruleset{Hook: input, Policy: verdict.Drop, Rules: []rule{
			{Protocols: bothProtocols, Port: port},
		}},
		Questions: each(bothProtocols, bothFamilies, waysIn, question{Port: port, Want: dropped}),
	})
})

var _ = suite.It("answers a SYN with RST where a rule rejects with tcp reset", check.Check{
	ID: "FW-004", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables, nftReject},
	Source:   "nft(8), REJECT STATEMENT; RFC 9293 3.10.7",
	Asks:     "In a sandbox, a rule of the input hook rejects TCP to port 7777 with `reject with tcp reset`. A SYN over IPv4 and IPv6, on lo and from outside through eth0, must be answered by RST, and by no ICMP error, though a server listens on the port.",
	Why:      "With a RST a closed service looks like one that does not run: clients are refused at once and try the next address. Where it is missing they wait for minutes, and ident or mail servers stall at every connection.",
	Causes:   causes,
	Remedies: remedies,
}, func(ctx SpecContext) {
	onlyTCP := []sock.Kind{sock.TCP}
	verify(ctx, plan{
		Ruleset: ruleset{Hook: input, Policy: verdict.Accept, Rules: []rule{
			{Protocols: onlyTCP, Port: port, Does: rejected(verdict.TCPReset)},
		}},
		Questions: each(onlyTCP, bothFamilies, waysIn, question{Port: port, Want: rejected(verdict.TCPReset)}),
	})
})
