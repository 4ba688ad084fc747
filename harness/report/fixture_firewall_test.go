package report

import (
	"net/netip"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// aFirewall has every kind of outcome, range, rule and mutant, with hostile texts
// wherever a file or a rule has some.
func aFirewall() *Firewall {
	web := firewall.Rule{Family: "inet", Table: "filter", Chain: "input", Handle: 6, Text: `tcp dport { 22, 80 } accept comment "` + hostile + `"`, File: "fw" + hostile + ".nft", Line: 6}
	closed := firewall.Rule{Family: "inet", Table: "filter", Chain: "input", Text: "policy drop"}
	ident := firewall.Rule{Family: "inet", Table: "filter", Chain: "input", Handle: 9, Text: "tcp dport 113 reject with tcp reset"}
	source, to := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")
	suggestion := "  - from: outside\n    protocol: tcp\n    ports: 113\n    verdict: drop # " + hostile
	ssh := policy.Named{Name: "SSH is for the LAN alone " + hostile, Line: 11}
	accept, drop := verdict.Verdict{Action: verdict.Accept}, verdict.Verdict{Action: verdict.Drop}
	reset := verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}
	unreachable := verdict.Verdict{Action: verdict.Reject, Kind: "icmp port-unreachable"}
	ranges := []firewall.Range{
		{First: 1, Last: 21, Verdict: drop, Rule: 1},
		{First: 22, Last: 22, Verdict: accept, Rule: 0},
		{First: 23, Last: 79, Verdict: drop, Rule: 1},
		{First: 80, Last: 80, Verdict: accept, Rule: 0, Landed: netip.MustParseAddrPort("192.0.2.1:8080")},
		{First: 81, Last: 112, Verdict: drop, Rule: 1},
		{First: 113, Last: 113, Verdict: reset, Rule: 2},
		{First: 114, Last: 1000, Verdict: drop, Local: true, Rule: -1},
		{First: 1001, Last: 4000, Verdict: unreachable, Rule: -1},
		{First: 4001, Last: 65535, Verdict: drop, Rule: 1},
	}
	everything := []firewall.Range{{First: 1, Last: 65535, Verdict: accept, Rule: -1}}
	return &Firewall{
		Policy: &policy.Result{
			Policy: "policy" + hostile + ".yaml",
			Outcomes: []policy.Outcome{
				{Name: "the web", Line: 6, Expected: "accept", Asked: 4, Packets: []string{"tcp from outside (192.0.2.2) to 192.0.2.1, port 80,443"}},
				{Name: ssh.Name, Line: 11, Expected: "drop", Asked: 2, Packets: []string{"tcp from outside (192.0.2.2) to 192.0.2.1, port 22"}, Breaches: []policy.Breach{
					{From: "outside", Source: source, To: to, Protocol: "tcp", State: "new", First: 22, Last: 22, Actual: accept, Rule: &web},
					{From: "outside", Source: source, To: to, Protocol: "udp", First: 53, Last: 53, Nth: 7, Actual: reset, Landed: netip.MustParseAddrPort("[fe80::1%<i>]:53")},
				}},
				{Name: "tcp 9100 from lan: accept", Line: 16, Expected: "accept", Skipped: "no address of the families that it is about " + hostile},
			},
			Notes: []string{"decides by chance: numgen random mod 2 " + hostile},
		},
		Maps: &firewall.Maps{
			SchemaVersion: firewall.MapSchema, Source: web.File,
			Zones: []firewall.Place{
				{Zone: firewall.Loopback, Interface: "lo", From: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, To: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
				{Zone: "outside" + hostile, Interface: "eth0", From: []netip.Addr{source}, To: []netip.Addr{to}},
			},
			Maps: []firewall.Map{
				{Zone: firewall.Loopback, Protocol: "tcp", Family: "ipv4", Ranges: everything},
				{Zone: firewall.Loopback, Protocol: "tcp", Family: "ipv6", Ranges: everything},
				{Zone: "outside" + hostile, Protocol: "tcp", Family: "ipv4", Ranges: ranges},
				{Zone: "outside" + hostile, Protocol: "icmp", Family: "ipv4", Ranges: []firewall.Range{{First: 0, Last: 255, Verdict: drop, Rule: 1}}},
			},
			Rules: []firewall.Rule{web, closed, ident},
			Notes: []string{"each packet is asked about as if it came alone"},
		},
		Coverage: &policy.Coverage{
			Policy: "policy.yaml",
			Rules: []policy.Covered{
				{Rule: web, Use: policy.Met, By: []policy.Named{ssh}},
				{Rule: ident, Use: policy.Untested, Suggestion: suggestion},
				{Rule: ident, Use: policy.Shadowed, Shadows: []firewall.Rule{web}},
				{Rule: ident, Use: policy.Dead, Why: "nothing leads to its chain " + hostile},
			},
			Notes: []string{"nothing is asked over IPv6: " + hostile},
		},
		Mutation: &policy.Mutations{
			Policy: "policy.yaml",
			Mutants: []policy.Mutant{
				{Mutation: ruleset.DeleteRule, Rule: web, Change: "deleted", Fate: policy.Killed, KilledBy: &ssh},
				{Mutation: ruleset.ShiftPort, Rule: ident, Change: "port 113 becomes 112-113 " + hostile, Fate: policy.Survived, Difference: "tcp from outside, port 112: reject, by the rules drop", Suggestion: suggestion},
				{Mutation: ruleset.SwapRules, Rule: ident, Change: "swapped", Fate: policy.Equivalent},
				{Mutation: ruleset.ChangeState, Rule: ident, Change: "state new", Fate: policy.Refused, Why: "Operation not supported " + hostile},
			},
			Score: 0.5,
			Notes: []string{"limits are counted anew for each mutant"},
		},
		Notes: []string{"made for this test " + hostile},
	}
}
