package ping

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

// Where IPv6 was taken off lo, there is nothing to ask, and the skip says what
// brings it back.
func TestNoIPv6IsASkip(t *testing.T) {
	for name, c := range map[string]struct{ setup, why, how string }{
		"switched off": {"sysctl -qw net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.lo.disable_ipv6 is 1", "sysctl -w net.ipv6.conf.lo.disable_ipv6=0"},
		"MTU of 1000":  {"ip link set dev lo mtu 1000", "the MTU of lo is 1000", "ip address add ::1/128 dev lo"},
	} {
		t.Run(name, func(t *testing.T) {
			outcomes := damage.Outcomes(t, []string{c.setup}, "PING-018")
			NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("PING-018", And(
				HaveField("State", check.Skip),
				HaveField("Message", And(ContainSubstring(c.why), ContainSubstring(c.how))),
			)))
		})
	}
}

// output is a hook behind all else that the kernel does to a packet it sends.
func output(rule string) []string { return damage.Hook("output", 300, rule) }

// Each check is asked in a stack in which the one thing it checks is broken.
func TestChecksFailInADamagedStack(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"lo down, without its address": {
			Setup:  []string{"ip address flush dev lo", "ip link set lo down"},
			Filter: "ping && !PING-018 && !PING-014",
			Want: map[string]string{
				"PING-001": "pro-bing's echo requests to 127.0.0.1",
				"PING-002": "pro-bing's echo requests to 127.255.255.254",
				"PING-003": "pro-bing's echo requests to 127.0.0.0",
				"PING-004": "an echo request to 127.255.255.255 without SO_BROADCAST",
				"PING-006": "pro-bing's echo requests to 127.0.0.1",
				"PING-016": "hold a UDP port closed: bind udp 127.0.0.1:0: cannot assign requested address",
				"PING-017": "an echo request with IP_TTL of 1 to 127.0.0.1",
				"PING-013": "hold a UDP port closed: bind udp 127.0.0.1:0: cannot assign requested address",
				"PING-019": "pro-bing's echo requests to 127.0.0.1",
			},
		},
		"echo ignored": {
			Setup:  []string{"sysctl -qw net.ipv4.icmp_echo_ignore_all=1"},
			Filter: "PING-001",
			Want:   map[string]string{"PING-001": "replies that pro-bing received from 127.0.0.1"},
		},
		"TTL rewritten": {
			Setup:  output("icmp type echo-reply ip ttl set 33"),
			Filter: "PING-001",
			Want:   map[string]string{"PING-001": "TTL of the reply from 127.0.0.1\nExpected\n    33\nto equal\n    64"},
		},
		"127.0.0.1/32": {
			Setup:  []string{"ip address del 127.0.0.1/8 dev lo", "ip address add 127.0.0.1/32 dev lo"},
			Filter: "PING-002",
			Want:   map[string]string{"PING-002": "network is unreachable"},
		},
		"fragments dropped": {
			Setup:  append(damage.Hook("prerouting", -500, "ip frag-off & 0x3fff != 0 drop"), "ip link set dev lo mtu 1500"),
			Filter: "PING-006",
			Want:   map[string]string{"PING-006": "replies of 65,507 bytes that pro-bing received"},
		},
		"another code": {
			Setup:  damage.Hook("input", -300, "meta l4proto udp reject with icmp admin-prohibited"),
			Filter: "PING-013",
			Want:   map[string]string{"PING-013": "ICMP code in the error queue"},
		},
		"TOS rewritten": {
			Setup:  output("icmp type destination-unreachable ip dscp set 0"),
			Filter: "PING-013",
			Want:   map[string]string{"PING-013": "type of service of the ICMP error"},
		},
		"errors dropped": {
			Setup:  damage.Hook("input", -300, "icmp type destination-unreachable drop"),
			Filter: "PING-013",
			Want:   map[string]string{"PING-013": "await an ICMP error from 127.0.0.1"},
		},
		"ICMPv6 dropped": {
			Setup:  damage.Hook("input", -300, "icmpv6 type echo-request drop"),
			Filter: "PING-018",
			Want:   map[string]string{"PING-018": "replies that pro-bing received from ::1"},
		},
		"hop limit rewritten": {
			Setup:  output("icmpv6 type echo-reply ip6 hoplimit set 3"),
			Filter: "PING-018",
			Want:   map[string]string{"PING-018": "hop limit of the reply from ::1\nExpected\n    3\nto equal\n    64"},
		},
		"another identifier": {
			Setup:  output("meta length 1028 icmp type echo-reply icmp id set 1"),
			Filter: "PING-001",
			Want:   map[string]string{"PING-001": "identifier of the reply from 127.0.0.1"},
		},
		"another sequence number": {
			Setup:  output("meta length 1028 icmp type echo-reply icmp sequence set 1"),
			Filter: "PING-001",
			Want:   map[string]string{"PING-001": "sequence number of the reply from 127.0.0.1"},
		},
		"another type": {
			Setup:  output("meta length 1028 icmp type echo-reply icmp type set 14"),
			Filter: "PING-001",
			Want:   map[string]string{"PING-001": "type of the reply from 127.0.0.1\nExpected\n    14\nto equal\n    0"},
		},
		// The checksum is wrong then, which a raw socket does not mind (raw(7)).
		"another payload": {
			Setup:  output("meta length 1028 icmp type echo-reply @th,304,32 set 0x58585858"),
			Filter: "PING-001",
			Want:   map[string]string{"PING-001": "payload of the reply from 127.0.0.1: byte 3"},
		},
		"::1 taken off lo": {
			Setup:  []string{"ip address del ::1/128 dev lo"},
			Filter: "PING-018",
			Want:   map[string]string{"PING-018": "::1 cannot be bound"},
		},
		"lo down": {
			Setup:  []string{"ip link set lo down"},
			Filter: "PING-018",
			Want:   map[string]string{"PING-018": "::1 cannot be bound"},
		},
		"one in 300 refused": {
			Setup:  damage.Hook("output", -300, "icmp type echo-request numgen inc mod 300 == 7 drop"),
			Filter: "PING-019",
			Want:   map[string]string{"PING-019": "refused to send: operation not permitted\nExpected\n    4\nto be zero-valued"},
		},
		"one in 300 lost": {
			Setup:  damage.Hook("input", -300, "icmp type echo-request numgen inc mod 300 == 7 drop"),
			Filter: "PING-019",
			Want:   map[string]string{"PING-019": "replies from 127.0.0.1 lost, of 1000\nExpected\n    4\nto be zero-valued"},
		},
	})
}
