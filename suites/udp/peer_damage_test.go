package udp

import (
	"slices"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// Numbers of include/uapi/asm-generic/socket.h and include/uapi/linux/udp.h.
const (
	socketLevel = 1
	soReuseAddr = 2
	soReusePort = 15
	soOverflow  = 40
	udpLevel    = 17
	udpSegment  = 103
)

func TestChecksOfPeersFailInADamagedStack(t *testing.T) {
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	set := func(level, name int) damage.Syscall {
		return damage.Syscall{Name: "setsockopt", Arguments: damage.Option(level, name)}
	}
	spoiled := func(id, message string, setup ...string) damage.Case {
		return damage.Case{Filter: id, Setup: setup, Want: map[string]string{id: message}}
	}
	inside := func(id, message string, commands ...string) damage.Case {
		return damage.Case{Filter: id, Sandboxes: commands, Want: map[string]string{id: message}}
	}
	damage.Table(t, map[string]damage.Case{
		"refused with another code": spoiled("UDP-005", "with IP_RECVERR",
			damage.Input("meta l4proto udp reject with icmp type host-unreachable")...),
		"connect ignored":  answered("UDP-006", "what a socket received that is connected to", damage.Syscall{Name: "connect"}),
		"peer's lost":      spoiled("UDP-006", "the peer's datagram", damage.Input("udp length 13 drop")...),
		"sent to its peer": answered("UDP-007", "on a socket that is connected to", damage.Syscall{Name: "sendmsg", Errno: syscall.EISCONN}),
		"to another lost":  spoiled("UDP-007", "what 127.0.0.1:", damage.Input("udp length 18 drop")...),
		"half lost":        spoiled("UDP-008", "growth of Udp RcvbufErrors", damage.Input("udp length 520 numgen inc mod 2 == 0 drop")...),
		"half lost, as told": spoiled("UDP-009", "datagrams that SO_RXQ_OVFL says were lost",
			damage.Input("udp length 520 numgen inc mod 2 == 0 drop")...),
		"SO_RXQ_OVFL ignored": answered("UDP-009", "datagrams that SO_RXQ_OVFL says were lost", set(socketLevel, soOverflow)),
		"port 0 taken":        answered("UDP-011", "sending to port 0", damage.Syscall{Name: "sendmsg"}),
		"no broadcast route":  spoiled("UDP-012", "without SO_BROADCAST", "ip route del broadcast 127.255.255.255 dev lo table local"),
		"broadcast lost":      spoiled("UDP-012", "with SO_BROADCAST", damage.Input("fib daddr type broadcast drop")...),
		"a way for multicast": inside("UDP-013", "without IP_MULTICAST_IF", "ip route add 239.0.0.0/8 dev lo"),
		"multicast lost":      inside("UDP-013", "over lo, directed", damage.Input("ip daddr 224.0.0.0/4 drop")...),
		"no checksum, no way": inside("UDP-014", "what arrived of datagrams", damage.Input("udp checksum 0 drop")...),
		"wrong checksum lost": inside("UDP-014", "growth of Udp InCsumErrors", damage.Input("@th,64,8 0x77 drop")...),
		"UDP_SEGMENT ignored": answered("UDP-015", "length of datagram 1", set(udpLevel, udpSegment)),
		"long sends lost":     spoiled("UDP-015", "what follows after datagrams of []", damage.Input("meta length gt 3000 drop")...),
		"another source":      spoiled("UDP-016", "where a plain answer comes from", "ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.7"),
		"destination rewritten": {
			Filter: "UDP-016 || UDP-019",
			Setup:  damage.Hook("prerouting", -300, "ip daddr 127.9.9.9 ip daddr set 127.0.0.1"),
			Want:   map[string]string{"UDP-019": "destination as IP_PKTINFO has it"},
		},
		"source chosen is lost":   spoiled("UDP-016", "an answer with IP_PKTINFO", damage.Input("ip saddr 127.9.9.9 drop")...),
		"SO_REUSEADDR ignored":    answered("UDP-017", "bind socket 2 of 2 with SO_REUSEADDR", set(socketLevel, soReuseAddr)),
		"shared port unreachable": spoiled("UDP-017", "what was sent to", damage.Input("meta l4proto udp drop")...),
		"SO_REUSEPORT ignored":    answered("UDP-018", "bind socket 2 of 4 with SO_REUSEPORT", set(socketLevel, soReusePort)),
		"one source port":         spoiled("UDP-018", "flows that each of 4 sockets", damage.Hook("prerouting", -300, "meta l4proto udp udp sport set 40000")...),
		"sources scattered":       spoiled("UDP-018", "received the second datagram", damage.Hook("prerouting", -300, "meta l4proto udp numgen inc mod 2 == 0 udp sport set 40000")...),
		"disconnect ignored":      answered("UDP-020", "automatic port of a socket", damage.Syscall{Name: "connect"}),
	})
}

func TestChecksOfPeersHoldWhateverTheSettings(t *testing.T) {
	for name, setup := range map[string][]string{
		"few ports": {"sysctl -w net.ipv4.ip_local_port_range='40000 40031'"},
		"small MTU": {"ip link set lo mtu 1500"},
		"tracked":   slices.Concat(damage.Input("ct state established accept"), []string{"nft add rule inet broken input 'ct state new accept'"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for id, o := range damage.Outcomes(t, setup, "udp && !(UDP-001 || UDP-002 || UDP-003 || UDP-004 || UDP-010)") {
				if o.State != check.Pass && o.State != check.Inconclusive {
					t.Errorf("%s: %s: %s", id, o.State, o.Message)
				}
			}
		})
	}
}
