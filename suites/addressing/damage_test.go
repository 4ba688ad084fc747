package addressing

import (
	"slices"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// card is a setup that gives the machine another interface, with the address
// 10.9.9.9.
var card = []string{
	"ip link add card type veth peer name wall",
	"ip address add 10.9.9.9/24 dev card",
	"ip link set card up",
	"ip link set wall up",
}

func with(setup []string, more ...string) []string { return slices.Concat(setup, more) }

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) {
	for name, setup := range map[string][]string{
		"lo alone":     nil,
		"another card": card,
		"another address of IPv6": {
			"ip link add card type veth peer name wall",
			"ip link set card up",
			"ip address add fd99::9/64 dev card nodad",
		},
		"without IPv6":           with(card, "sysctl -e -w net.ipv6.conf.lo.disable_ipv6=1"),
		"without IPv6 at all":    with(card, "sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"),
		"addresses on lo":        with(card, "ip address add 10.8.8.8/32 dev lo"),
		"the card without cable": with(card, "ip link set wall down"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damage.EveryCheckPasses(t, setup)
		})
	}
}

func TestOwnAddressesElsewhereAreNeeded(t *testing.T) {
	for name, setup := range map[string][]string{
		"none":                  nil,
		"on lo":                 {"ip address add 10.9.9.9/32 dev lo"},
		"on a card that is off": with(card, "ip link set card down"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(damage.Outcomes(t, setup, "ADDR-014 || ADDR-015")).To(HaveEach(And(
				HaveField("State", check.Skip),
				HaveField("Message", ContainSubstring("needs another address (no other interface that is up has one)")),
			)))
		})
	}
}

func TestChecksFailInADamagedStack(t *testing.T) {
	const refused = "connection refused"
	// The addresses of IPv4 and of IPv6 as bind takes them.
	const inet, inet6 = 16, 28
	damage.Table(t, map[string]damage.Case{
		"lo down, without its address": {
			Setup:  with(card, "ip address flush dev lo", "ip link set lo down"),
			Filter: "addressing && !ADDR-010",
			Want: map[string]string{
				"ADDR-001": "::1 cannot be bound",
				"ADDR-002": "::1 cannot be bound",
				"ADDR-003": "::1 cannot be bound",
				"ADDR-004": "::1 cannot be bound",
				"ADDR-005": "::1 cannot be bound",
				"ADDR-006": "::1 cannot be bound",
				"ADDR-008": "::1 cannot be bound",
				"ADDR-009": "::1 cannot be bound",
				"ADDR-011": "lo is not as the kernel makes it: it is down",
				"ADDR-012": "cannot assign requested address",
				"ADDR-014": "datagrams from 10.9.9.9 to itself",
				"ADDR-015": "cannot assign requested address",
			},
			IPv6: true,
		},
		"IPv6 for itself": {
			Setup:  []string{"sysctl -qw net.ipv6.bindv6only=1"},
			Filter: "addressing",
			Want:   map[string]string{"ADDR-001": "with net.ipv6.bindv6only at 1"},
			IPv6:   true,
		},
		"datagrams of IPv4 dropped": {
			Setup:  damage.Input("meta nfproto ipv4 meta l4proto udp drop"),
			Filter: "ADDR-001",
			Want:   map[string]string{"ADDR-001": "the datagram from 127.0.0.1:"},
			IPv6:   true,
		},
		"connections of ::1 refused": {
			Setup:  damage.Input("ip6 daddr ::1 tcp flags syn reject with tcp reset"),
			Filter: "ADDR-001 || ADDR-004",
			Want:   map[string]string{"ADDR-001": refused, "ADDR-004": "to the listener at [::1]:"},
			IPv6:   true,
		},
		"RST lost": {
			Setup:  with(card, damage.Input("tcp flags & rst == rst drop")...),
			Filter: "addressing",
			Want: map[string]string{
				"ADDR-002": "a connection to 127.0.0.1:",
				"ADDR-004": "a connection to 127.0.0.1:",
				"ADDR-014": "a connection to 10.9.9.9 of card",
				"ADDR-015": "a connection to 10.9.9.9 of card",
			},
			IPv6: true,
		},
		"sockaddr_in6 refused with another error": {
			Filter:   "ADDR-010",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet6, Errno: syscall.EINVAL}},
			Want:     map[string]string{"ADDR-010": "bind of a sockaddr_in6 on a tcp socket of IPv4"},
		},
		"sockaddr_in taken": {
			Filter:   "ADDR-010",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet}},
			Want:     map[string]string{"ADDR-010": "bind of a sockaddr_in on a tcp socket of IPv6"},
			IPv6:     true,
		},
		"connected to a sockaddr_in6": {
			Filter:   "ADDR-010",
			Syscalls: []damage.Syscall{{Name: "connect", Length: inet6}},
			Want:     map[string]string{"ADDR-010": "connect to a sockaddr_in6 on a tcp socket of IPv4"},
		},
		"connected to a sockaddr_in": {
			Filter:   "ADDR-010",
			Syscalls: []damage.Syscall{{Name: "connect", Length: inet}},
			Want:     map[string]string{"ADDR-010": "connect to a sockaddr_in on a tcp socket of IPv6"},
			IPv6:     true,
		},
		"MTU of 1500": {
			Setup:  with(card, "ip link set dev lo mtu 1500"),
			Filter: "addressing",
			Want:   map[string]string{"ADDR-011": "lo is not as the kernel makes it: MTU is 1500 and not 65536"},
		},
		"traffic shaped": {
			Setup:  []string{"tc qdisc add dev lo root tbf rate 1gbit burst 1mb limit 1mb", "ip link set dev lo mtu 9000"},
			Filter: "ADDR-011",
			Want:   map[string]string{"ADDR-011": "MTU is 9000 and not 65536; queueing discipline is tbf and not noqueue"},
		},
		"own address looked for elsewhere": {
			Setup:  with(card, "ip route del local 10.9.9.9 table local"),
			Filter: "ADDR-014 || ADDR-015",
			Want: map[string]string{
				"ADDR-014": "the route to 10.9.9.9 of card\nExpected\n    to another machine, through card\nto equal\n    local, through lo",
				"ADDR-015": "the route to 10.9.9.9 of card",
			},
		},
		"what comes in over lo dropped": {
			Setup:  with(card, damage.Input("iifname lo ip daddr != 127.0.0.0/8 drop")...),
			Filter: "addressing",
			Want: map[string]string{
				"ADDR-014": "datagram 1: receive over udp: wait for IN: context deadline exceeded",
				"ADDR-015": "a connection to 10.9.9.9 of card",
			},
		},
		"redirected to 127.0.0.1": {
			Setup: with(card,
				"nft add table ip broken",
				"nft add chain ip broken out '{ type nat hook output priority -100; }'",
				"nft add rule ip broken out ip daddr 10.9.9.9 meta l4proto tcp redirect",
			),
			Filter: "addressing",
			Want: map[string]string{
				"ADDR-014": "Expected an error, got nil",
				"ADDR-015": "Expected an error, got nil",
			},
		},
		"past lo": {
			// What the machine sends to itself goes out at the card, and comes
			// back in at the other end of its cable (Linux 5.16 or later).
			Setup: with(card,
				"ip link set card mtu 65535",
				"ip link set wall mtu 65535",
				"sysctl -qw net.ipv4.conf.wall.accept_local=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wall.rp_filter=0",
				"nft add table netdev broken",
				"nft add chain netdev broken out '{ type filter hook egress device lo priority 0; }'",
				"nft add rule netdev broken out ip daddr 10.9.9.9 meta l4proto udp fwd to card",
				"nft add chain netdev broken in '{ type filter hook ingress device wall priority 0; }'",
				"nft add rule netdev broken in meta pkttype set host",
			),
			Filter: "ADDR-014",
			Want:   map[string]string{"ADDR-014": "bytes that lo counted"},
		},
	})
}
