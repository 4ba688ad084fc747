package firewall

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

// The checks ask in sandboxes, which the surrounding stack does not reach.
func TestTheSurroundingRulesDoNotMatter(t *testing.T) {
	damage.EveryCheckPasses(t, damage.Hook("input", 0, "meta l4proto { tcp, udp, icmp, ipv6-icmp } drop"))
}

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"})
}

// rejections is what the checks of one family's ICMP kinds must say, but for
// the one whose own kind it is.
func rejections(family, message, own string) map[string]string {
	want := map[string]string{}
	for _, r := range icmpRejections {
		if strings.HasPrefix(string(r.kind), family+" ") && r.id != own {
			want[r.id] = message
		}
	}
	return want
}

func joined(wants ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, want := range wants {
		maps.Copy(all, want)
	}
	return all
}

func TestChecksFailInADamagedStack(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"accepted SYNs dropped": {
			Sandboxes: damage.Input("tcp dport 7777 drop"),
			Filter:    "FW-001 || FW-022 || FW-023",
			Want: map[string]string{
				"FW-001": "what became of the SYN to port 7777 over IPv4 on lo\nExpected\n    drop\nto equal\n    accept",
				"FW-022": "the SYN to port 7777 over IPv4 on lo",
				"FW-023": "the SYN to port 7777 over IPv4 from outside through eth0",
			},
		},
		"accepted datagrams dropped": {
			Sandboxes: damage.Input("udp dport 7777 drop"),
			Filter:    "FW-001",
			Want:      map[string]string{"FW-001": "the datagram to port 7777 over IPv4 on lo"},
		},
		"accepted datagrams of IPv6 dropped": {
			Sandboxes: damage.Input("meta nfproto ipv6 udp dport 7777 drop"),
			Filter:    "FW-001",
			Want:      map[string]string{"FW-001": "the datagram to port 7777 over IPv6 on lo"},
			IPv6:      true,
		},
		"dropped ones answered": {
			Sandboxes: damage.Hook("input", -10, "meta l4proto { tcp, udp } th dport 7777 reject with icmpx type admin-prohibited"),
			Filter:    "FW-002 || FW-003",
			Want: map[string]string{
				"FW-002": "Expected\n    reject with icmp admin-prohibited\nto equal\n    drop",
				"FW-003": "Expected\n    reject with icmp admin-prohibited\nto equal\n    drop",
			},
		},
		"dropped ones answered from outside alone": {
			Sandboxes: damage.Hook("input", -10, "iifname eth0 tcp dport 7777 reject with tcp reset"),
			Filter:    "FW-002",
			Want:      map[string]string{"FW-002": "what became of the SYN to port 7777 over IPv4 from outside through eth0\nExpected\n    reject with tcp-reset"},
		},
		"dropped by something else than the rule": {
			Sandboxes: damage.Hook("input", -10, "meta l4proto { tcp, udp } th dport 7777 drop"),
			Filter:    "FW-002 || FW-003",
			Want: map[string]string{
				"FW-002": "packets that the rule `tcp/udp dport 7777 counter drop` of the table ip has counted",
				"FW-003": "packets that the rule `tcp/udp dport 7777 counter` of the table ip has counted",
			},
		},
		"RST lost": {
			Sandboxes: damage.Input("tcp flags & rst == rst drop"),
			Filter:    "FW-004 || FW-021",
			Want: map[string]string{
				"FW-004": "Expected\n    drop\nto equal\n    reject with tcp-reset",
				"FW-021": "Expected\n    drop\nto equal\n    reject with tcp-reset",
			},
		},
		"ICMP instead of RST": {
			Sandboxes: damage.Hook("input", -10, "tcp dport 7777 reject with icmp type port-unreachable"),
			Filter:    "FW-004",
			Want:      map[string]string{"FW-004": "Expected\n    reject with icmp port-unreachable\nto equal\n    reject with tcp-reset"},
		},
		"rejected with host-prohibited": {
			Sandboxes: damage.Hook("input", -10, "meta l4proto { tcp, udp } th dport 7777 reject with icmp type host-prohibited"),
			Filter:    "firewall",
			Want: joined(
				rejections("icmp", "Expected\n    reject with icmp host-prohibited\nto equal\n    reject with icmp ", "FW-010"),
				// Its own kind, but not by its rule.
				map[string]string{"FW-010": "packets that the rule `tcp/udp dport 7777 counter reject with icmp host-prohibited`"},
				everyOtherButIPv6("reject with icmp host-prohibited"),
			),
		},
		"rejected with addr-unreachable": {
			Sandboxes: damage.Hook("input", -10, "meta l4proto { tcp, udp } th dport 7777 reject with icmpv6 type addr-unreachable"),
			Filter:    "firewall && !FW-024",
			Want: joined(
				rejections("icmpv6", "Expected\n    reject with icmpv6 addr-unreachable\nto equal\n    reject with icmpv6 ", "FW-014"),
				map[string]string{
					"FW-001": "over IPv6", "FW-002": "over IPv6", "FW-003": "over IPv6", "FW-004": "over IPv6",
					"FW-014": "packets that the rule `tcp/udp dport 7777 counter reject with icmpv6 addr-unreachable`",
					"FW-018": "over IPv6", "FW-022": "over IPv6", "FW-023": "over IPv6",
				},
			),
			IPv6: true,
		},
		"ICMP lost": {
			Sandboxes: damage.Input("icmp type destination-unreachable drop"),
			Filter:    "FW-004 || FW-008 || FW-015 || FW-018",
			Want: map[string]string{
				"FW-008": "Expected\n    drop\nto equal\n    reject with icmp port-unreachable",
				"FW-018": "reject with icmp port-unreachable",
			},
		},
		"ICMP errors limited": {
			Sandboxes: damage.Hook("output", 0, "oifname eth0 icmp type destination-unreachable limit rate over 1/hour burst 1 packets drop"),
			Filter:    "FW-005",
			Want:      map[string]string{"FW-005": "the datagram to port 7777 over IPv4 from outside through eth0"},
		},
		"let out where the output hook drops": {
			Sandboxes: slices.Concat(
				damage.Hook("output", -10, "udp dport 7777 udp dport set 7776"),
				damage.Input("udp dport 7776 drop"),
			),
			Filter: "FW-019 || FW-020",
			Want: map[string]string{
				"FW-019": "packets that the rule `tcp/udp dport 7777 counter drop` of the table ip has counted",
				"FW-020": "sending the datagram to port 7777 over IPv4 on lo was not refused with EPERM",
			},
		},
		"answered where the output hook drops": {
			Sandboxes: damage.Hook("output", -10, "tcp dport 7777 reject with tcp reset"),
			Filter:    "FW-019 || FW-020",
			Want:      map[string]string{"FW-019": "Expected\n    reject with tcp-reset\nto equal\n    drop"},
		},
		"loopback closed": {
			Sandboxes: damage.Hook("input", -10, "iifname lo udp dport 7777 drop"),
			Filter:    "FW-022",
			Want:      map[string]string{"FW-022": "the datagram to port 7777 over IPv4 on lo"},
		},
		"eth0 closed": {
			Sandboxes: damage.Hook("input", -10, "iifname eth0 udp dport 7777 drop"),
			Filter:    "FW-023",
			Want:      map[string]string{"FW-023": "the datagram to port 7777 over IPv4 from outside through eth0"},
		},
		"loopback packets taken for those of eth0": {
			Sandboxes: damage.Hook("input", -10, "iifname eth0 tcp dport 7777 reject with tcp reset"),
			Filter:    "FW-022",
			Want:      map[string]string{"FW-022": "the SYN to port 7777 over IPv4 from outside through eth0\nExpected\n    reject with tcp-reset"},
		},
		"not tracked": {
			Sandboxes: damage.Hook("prerouting", -300, "notrack"),
			Filter:    "FW-024",
			Want:      map[string]string{"FW-024": "tcp over IPv4 to the outside through eth0\nExpected\n    cannot be opened: connect to tcp 192.0.2.2:7777"},
		},
		"flows cut": {
			// Of each flow over UDP one datagram to the server passes.
			Sandboxes: damage.Hook("input", -10, "udp dport 7777 ct state established drop"),
			Filter:    "FW-024",
			Want:      map[string]string{"FW-024": "udp over IPv4 on lo\nExpected\n    does not go on: there: receive over udp"},
		},
		"new ones answered": {
			Sandboxes: damage.Hook("input", -10, "tcp flags & (syn|ack) == syn iifname eth0 limit rate over 1/hour burst 2 packets reject with tcp reset"),
			Filter:    "FW-024",
			Want:      map[string]string{"FW-024": "Expected\n    reject with tcp-reset\nto equal\n    drop"},
			IPv6:      true,
		},
	})
}

// everyOtherButIPv6 is the checks beside those of single ICMP kinds that damage
// to what comes in over IPv4 must not satisfy.
func everyOtherButIPv6(message string) map[string]string {
	want := map[string]string{}
	for _, id := range []string{"FW-001", "FW-002", "FW-003", "FW-004", "FW-018", "FW-022", "FW-023"} {
		want[id] = message
	}
	// What opens a flow first is a connection on lo.
	want["FW-024"] = "tcp over IPv4 on lo\nExpected\n    cannot be opened"
	return want
}

func TestWithoutIPv6InTheSandboxOnlyIPv4IsAsked(t *testing.T) { damage.WithoutIPv6(t, "firewall") }

func TestRefusedNamespacesAreASkip(t *testing.T) { damage.RefusedNamespaces(t, "firewall") }
