package limits

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// Numbers of include/uapi/linux/in.h, in6.h and sockios.h.
const (
	ipLevel       = 0
	ipMTUDiscover = 10
	ipMTU         = 14
	ethtoolCall   = 0x8946
	ipv6Length    = 28
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"sysctl -e -w net.ipv6.conf.lo.disable_ipv6=1"})
}

func TestChecksFailInADamagedStack(t *testing.T) {
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	spoiled := func(id, message string, setup ...string) damage.Case {
		return damage.Case{Filter: id, Setup: setup, Want: map[string]string{id: message}}
	}
	inside := func(id, message string, commands ...string) damage.Case {
		return damage.Case{Filter: id, Sandboxes: commands, Want: map[string]string{id: message}}
	}
	onIPv6 := func(c damage.Case) damage.Case {
		c.IPv6 = true
		return c
	}
	egress := func(rule string) []string {
		return []string{
			"nft add table netdev broken",
			"nft add chain netdev broken out '{ type filter hook egress device lo priority 0; }'",
			"nft add rule netdev broken out '" + rule + "'",
		}
	}
	damage.Table(t, map[string]damage.Case{
		"accept with another error": answered("LIM-001", "what accept gives while no more files may be opened", damage.Syscall{Name: "accept4", Errno: syscall.EAGAIN}),
		"handshake half done":       inside("LIM-002", "growth of Tcp PassiveOpens with 20 connections", damage.Input("tcp flags & (syn | ack) == ack drop")...),
		"refused by a rule":         inside("LIM-003", "growth of Tcp OutRsts", damage.Input("tcp flags & (syn | ack) == syn reject with tcp reset")...),
		"refused otherwise":         inside("LIM-003", "what a connect to a closed port gives", damage.Input("tcp flags & (syn | ack) == syn reject with icmp type host-unreachable")...),
		"taken before lo":           spoiled("LIM-004", "lo counted 0 packets", egress("meta length > 1000 drop")...),
		"datagrams lost":            inside("LIM-005", "datagram 5 of 5", damage.Input("meta l4proto udp numgen inc mod 5 == 4 drop")...),
		"payload rewritten":         inside("LIM-006", "what was read after the window was closed", damage.Input("meta length gt 1400 @th,8000,8 set 0x55")...),
		"window that stays closed": inside("LIM-006", "read what waited for the window",
			"nft add table inet broken",
			"nft add set inet broken shut '{ type inet_service; size 64; flags dynamic; }'",
			"nft add chain inet broken input '{ type filter hook input priority 0; }'",
			"nft add rule inet broken input 'tcp window 0 add @shut { tcp sport }'",
			"nft add rule inet broken input 'tcp sport @shut tcp window set 0'"),
		"window that is not told": inside("LIM-006", "growth of TcpExt TCPWinProbe", damage.Input("tcp window 0 drop")...),
		"fragments lost":          inside("LIM-007", "8000 bytes over an MTU of 1500", damage.Hook("prerouting", -500, "ip frag-off & 0x1fff != 0 drop")...),
		"smaller fragments":       inside("LIM-007", "growth of Ip FragCreates", "ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 mtu lock 1000"),
		"datagram rewritten":      inside("LIM-007", "what arrived of 8000 bytes", damage.Input("meta length gt 5000 @th,8000,8 set 0x55 udp checksum set 0")...),
		"IP_PMTUDISC_DO ignored": answered("LIM-007", "what a send of 8000 bytes gives with IP_PMTUDISC_DO",
			damage.Syscall{Name: "setsockopt", Arguments: damage.Option(ipLevel, ipMTUDiscover)}),
		"::1 whatever the MTU":    onIPv6(answered("LIM-008", "bind to ::1 with an MTU of 1279", damage.Syscall{Name: "bind", Length: ipv6Length})),
		"127.0.0.1 is not there":  inside("LIM-008", "bind to 127.0.0.1 with an MTU of 65536", "ip address flush dev lo scope host"),
		"a route's MTU":           spoiled("LIM-009", "IP_MTU towards 127.0.0.1", "ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 mtu 1400"),
		"a route's MTU, IPv6":     onIPv6(spoiled("LIM-009", "IPV6_MTU towards ::1", "ip -6 route del local ::1 dev lo table local", "ip -6 route add local ::1 dev lo table local mtu 1400")),
		"IP_MTU not told":         answered("LIM-009", "IP_MTU towards 127.0.0.1", damage.Syscall{Name: "getsockopt", Arguments: damage.Option(ipLevel, ipMTU)}),
		"lone fragments lost":     inside("LIM-010", "inuse of FRAG in /proc/net/sockstat is 0 and not 1", damage.Hook("prerouting", -500, "ip frag-off & 0x2000 != 0 drop")...),
		"no room for fragments":   inside("LIM-010", "inuse of FRAG in /proc/net/sockstat is 0 and not 1", "sysctl -w net.ipv4.ipfrag_low_thresh=0 net.ipv4.ipfrag_high_thresh=0"),
		"rewritten by its length": inside("LIM-011", "over an MTU that was lowered to 1500", damage.Hook("output", 0, "ct original packets > 10 meta length gt 1400 @th,8000,8 set 0x55")...),
		"all lost after a while":  inside("LIM-011", "after the MTU was lowered to 1500", damage.Hook("output", 0, "ct original packets > 10 drop")...),
		"features not told":       answered("LIM-012", "features of lo", damage.Syscall{Name: "ioctl", Arguments: map[int]uint32{1: ethtoolCall}}),
		"few TIME_WAIT":           inside("LIM-014", "growth of tw in /proc/net/sockstat", "sysctl -w net.ipv4.tcp_max_tw_buckets=3"),
		"one in 200 lost": onIPv6(spoiled("LIM-016", "datagrams of 1000 over ::1 that were lost",
			damage.Input("meta nfproto ipv6 meta l4proto udp numgen inc mod 200 == 199 drop")...)),
		"all lost": onIPv6(spoiled("LIM-016", "the first is number 0",
			damage.Input("meta nfproto ipv6 meta l4proto udp drop")...)),
		"one segment in 200 lost": onIPv6(spoiled("LIM-016", "that were lost and sent again",
			damage.Input("meta nfproto ipv6 meta l4proto tcp numgen inc mod 200 == 199 drop")...)),
	})
}

func TestFewFilesAreTold(t *testing.T) {
	ExpectConnections(math.MaxInt)
	defer ExpectConnections(0)
	o := damage.Outcomes(t, nil, "LIM-015")["LIM-015"]
	if o.State != check.Warn || !strings.Contains(o.Message, "files that a process may open") {
		t.Errorf("%+v", o)
	}
}

func TestChecksHoldWhateverTheSettings(t *testing.T) {
	for name, setup := range map[string][]string{
		"small MTU":         {"ip link set lo mtu 1500"},
		"no IPv6 by MTU":    {"ip link set lo mtu 1200"},
		"few ports":         {"sysctl -w net.ipv4.ip_local_port_range='40000 40063'"},
		"without cookies":   {"sysctl -w net.ipv4.tcp_syncookies=0"},
		"always cookies":    {"sysctl -w net.ipv4.tcp_syncookies=2"},
		"no timestamps":     {"sysctl -w net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0"},
		"tracked":           slices.Concat(damage.Input("ct state established accept"), []string{"nft add rule inet broken input 'ct state new accept'"}),
		"an MTU for IPv6":   {"sysctl -e -w net.ipv6.conf.lo.mtu=1400"},
		"TIME_WAIT is over": {"sysctl -w net.ipv4.tcp_tw_reuse=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// What sandboxes are given is not what the host has.
			for id, o := range damage.OutcomesInside(t, setup, setup, "limits && !LIM-008") {
				if o.State != check.Pass && o.State != check.Inconclusive && o.State != check.Skip {
					t.Errorf("%s: %s: %s", id, o.State, o.Message)
				}
			}
		})
	}
}
