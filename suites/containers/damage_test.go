package containers

import (
	"fmt"
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

// The checks ask in sandboxes, which the surrounding rules do not reach.
func TestTheSurroundingRulesDoNotMatter(t *testing.T) {
	damage.EveryCheckPasses(t, damage.Hook("input", 0, "meta l4proto { tcp, udp, icmp, ipv6-icmp } drop"))
}

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"})
}

// translated is damage that sends connections on to another port.
func translated(hook, rule string) []string {
	return []string{
		"nft add table inet broken",
		fmt.Sprintf("nft add chain inet broken %s '{ type nat hook %s priority -90; }'", hook, hook),
		fmt.Sprintf("nft add rule inet broken %s '%s'", hook, rule),
	}
}

// second is the second SYN that a rule meets in an hour, and all that follow.
const second = "tcp flags & (syn|ack) == syn limit rate over 1/hour burst 1 packets reject with tcp reset"

func TestChecksFailInADamagedStack(t *testing.T) {
	const lost = "Expected\n    silence\nto equal\n    answered by "
	damage.Table(t, map[string]damage.Case{
		"what is forwarded lost": {
			Sandboxes: damage.Hook("forward", -10, "iifname eth0 tcp dport 80 drop"),
			Filter:    "CTR-002 || CTR-003 || CTR-006 || CTR-007 || CTR-015 || CTR-017 || CTR-025 || CTR-026",
			Want: map[string]string{
				"CTR-002": "a connection from outside to 192.0.2.1:8080\nin the network namespace host, the rule `iifname \"eth0\" tcp dport 80 drop` of the chain inet broken forward drops a packet\n" + lost + "web",
				"CTR-003": lost + "web",
				"CTR-006": "Expected\n    silence\nto equal\n    refused",
				"CTR-015": "a connection from outside to 192.0.2.1:8080",
				"CTR-017": "a connection from outside to [2001:db8::1]:8080",
				"CTR-025": lost + "web",
				"CTR-026": "a connection from outside to 192.0.2.1:40000",
			},
		},
		"what the host sends to the bridge lost": {
			Sandboxes: damage.Hook("postrouting", -10, "oifname docker0 tcp dport 80 ct state new drop"),
			Filter:    "CTR-004 || CTR-005 || CTR-009 || CTR-010 || CTR-011 || CTR-018",
			Want: map[string]string{
				"CTR-004": "with route_localnet 1\n",
				"CTR-005": "a connection from host to 127.0.0.1:8080",
				"CTR-009": "a connection from host to 127.0.0.1:8080, with the rule",
				"CTR-010": "a connection from web to 192.0.2.1:8080, with bridge-nf-call-iptables 0",
				"CTR-011": "with bridge-nf-call-iptables 1",
				"CTR-018": "a connection from host to [2001:db8::1]:8080",
			},
		},
		"one localhost for all": {
			Sandboxes: translated("output", "oifname lo tcp dport 7002 redirect to :80"),
			Filter:    "CTR-001",
			Want:      map[string]string{"CTR-001": "a connection from host to 127.0.0.1:7002\nExpected\n    answered by host\nto equal\n    refused"},
		},
		"localhost closed": {
			Sandboxes: damage.Hook("input", -10, "iifname lo tcp dport { 7001, 7777, 8080 } reject with tcp reset"),
			Filter:    "CTR-005 || CTR-007 || CTR-008 || CTR-009 || CTR-019 || CTR-020",
			Want: map[string]string{
				"CTR-005": "Expected\n    refused\nto equal\n    answered by web",
				"CTR-007": "a connection from host to 127.0.0.1:8080",
				"CTR-008": "a connection from host to 127.0.0.1:7777",
				"CTR-009": "a connection from host to 127.0.0.1:7777, with the rule",
				"CTR-019": "a connection from a container in the network of host to 127.0.0.1:7001",
				"CTR-020": "a connection from a container in the network of web to 127.0.0.1:7001",
			},
		},
		"gateway closed": {
			Sandboxes: damage.Hook("input", -10, "iifname docker0 tcp dport 7001 drop"),
			Filter:    "CTR-012",
			Want:      map[string]string{"CTR-012": "a connection from web to 172.17.0.1:7001\nin the network namespace host, the rule"},
		},
		"localhost answers at the gateway": {
			Sandboxes: translated("prerouting", "iifname docker0 tcp dport 7002 redirect to :7001"),
			Filter:    "CTR-012",
			Want:      map[string]string{"CTR-012": "Expected\n    answered by host\nto equal\n    refused"},
		},
		"containers closed to each other": {
			Sandboxes: damage.Hook("input", -10, "iifname eth0 tcp dport 7777 ip saddr 172.17.0.3 drop"),
			Filter:    "CTR-013",
			Want:      map[string]string{"CTR-013": "a connection from app to 172.17.0.2:7777\nin the network namespace web, the rule"},
		},
		"isolation broken": {
			// The first SYN is that without Docker's rules.
			Sandboxes: damage.Hook("forward", -10, "meta nfproto ipv4 tcp dport 7777 iifname docker0 "+second),
			Filter:    "CTR-014",
			Want:      map[string]string{"CTR-014": "a connection from web to 172.18.0.2:7777, with Docker's rules for nftables\n"},
		},
		"direct access": {
			Sandboxes: damage.Hook("prerouting", -310, "tcp dport 7777 iifname eth0 "+second),
			Filter:    "CTR-015",
			Want:      map[string]string{"CTR-015": "a connection from outside to 172.17.0.2:7777\n"},
		},
		"localhost answers the outside": {
			Sandboxes: damage.Hook("prerouting", -310, "iifname eth0 ip daddr 127.0.0.1 reject with tcp reset"),
			Filter:    "CTR-007 || CTR-008 || CTR-009",
			Want: map[string]string{
				"CTR-007": "a connection from outside to 127.0.0.1:8080, with route_localnet 1\nin the network namespace host, the rule `meta l4proto tcp iifname \"eth0\" ip daddr 127.0.0.1 reject",
				"CTR-008": "a connection from outside to 127.0.0.1:7777, with route_localnet 1\n",
				"CTR-009": "a connection from outside to 127.0.0.1:7777, without the rule\n",
			},
		},
		"not tracked": {
			Sandboxes: damage.Hook("prerouting", -310, "notrack"),
			Filter:    "CTR-016 || CTR-021 || CTR-022",
			Want: map[string]string{
				"CTR-016": "the rule `counter drop` of the chain ip docker-bridges filter-forward-in__docker0 drops a packet",
				"CTR-021": "a datagram from outside to 192.0.2.1:8080\nExpected\n    refused",
				"CTR-022": "a datagram from outside to 192.0.2.1:8080, over the old flow\nExpected\n    refused",
			},
		},
		"not forwarded": {
			Sandboxes: damage.Hook("forward", 10, "oifname eth0 ct state new drop"),
			Filter:    "CTR-016 || CTR-024",
			Want: map[string]string{
				"CTR-016": "a connection from web to 192.0.2.2:80\nin the network namespace host, the rule",
				"CTR-024": "the stream over IPv4",
			},
		},
		"flows moved at once": {
			Sandboxes: damage.Hook("input", -10, "iifname eth0 udp dport 80 ip daddr 172.17.0.2 limit rate over 1/hour burst 1 packets reject"),
			Filter:    "CTR-022",
			Want:      map[string]string{"CTR-022": "over the old flow, published anew\nExpected\n    refused\nto equal\n    answered by the old container"},
		},
		"another MTU": {
			Sandboxes: []string{"ip link set dev veth-web mtu 1300 || true"},
			Filter:    "CTR-023",
			Want:      map[string]string{"CTR-023": "the MTU of the bridge with ports of 1,500 bytes\nExpected\n    1300"},
		},
		"ICMP errors lost": {
			Sandboxes: damage.Hook("output", -10, "icmp type destination-unreachable drop"),
			Filter:    "CTR-024",
			Want:      map[string]string{"CTR-024": "the stream over IPv4\nExpected\n    "},
		},
		"ports taken": {
			Sandboxes: translated("output", "oifname lo tcp dport 8080 redirect to :8081"),
			Filter:    "CTR-025",
			Want:      map[string]string{"CTR-025": "a connection from host to 127.0.0.1:8080\nExpected\n    answered by web\nto equal\n    answered by host"},
		},
		"open to the networks": {
			Setup:  []string{"sysctl -w net.ipv4.conf.all.route_localnet=1"},
			Filter: "CTR-027",
			Want:   map[string]string{"CTR-027": "no rule closes it: net.ipv4.conf.all.route_localnet is 1"},
		},
		"open to one network": {
			Setup:  []string{"ip link add name eth0.7 type veth peer name far", "sysctl -w net/ipv4/conf/eth0.7/route_localnet=1"},
			Filter: "CTR-027",
			Want:   map[string]string{"CTR-027": "net.ipv4.conf.eth0.7.route_localnet is 1"},
		},
		"open to a bridge": {
			Setup:  []string{"ip link add name docker0 type bridge", "sysctl -w net.ipv4.conf.docker0.route_localnet=1"},
			Filter: "CTR-027",
		},
		"not forwarded by the machine": {
			Setup:  []string{"ip link add name br-0123456789ab type bridge", "sysctl -w net.ipv4.ip_forward=0"},
			Filter: "CTR-028",
			Want:   map[string]string{"CTR-028": "net.ipv4.ip_forward, with the bridges br-0123456789ab\nExpected\n    0\nto equal\n    1"},
		},
		"a bridge of another kind": {
			Setup:  []string{"ip link add name br-lan type bridge", "sysctl -w net.ipv4.ip_forward=0"},
			Filter: "CTR-028",
		},
		"open behind a rule": {
			Setup: append([]string{"sysctl -w net.ipv4.conf.all.route_localnet=1"},
				damage.Input("ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 ct status & dnat == 0 drop")...),
			Filter: "CTR-027",
		},
		"open beside a rule of another way": {
			Setup: append([]string{"sysctl -w net.ipv4.conf.all.route_localnet=1"},
				damage.Hook("output", 0, "ip daddr 127.0.0.0/8 oifname eth0 drop")...),
			Filter: "CTR-027",
			Want:   map[string]string{"CTR-027": "no rule closes it: net.ipv4.conf.all.route_localnet is 1"},
		},
	})
}

func TestWithoutIPv6InTheSandboxOnlyIPv4IsAsked(t *testing.T) { damage.WithoutIPv6(t, "containers") }

func TestRefusedNamespacesAreASkip(t *testing.T) {
	damage.RefusedNamespaces(t, "containers && !CTR-027 && !CTR-028")
}
