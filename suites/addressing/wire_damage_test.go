package addressing

import (
	"net/netip"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// overTheWire are the checks that share a sandbox.
const overTheWire = "ADDR-016 || ADDR-017 || ADDR-018 || ADDR-019 || ADDR-020 || ADDR-021 || ADDR-023"

// arriving is damage whose rule every packet meets that comes in over the wire,
// before the stack sees it.
func arriving(rule string) []string {
	return []string{
		"nft add table netdev broken",
		"nft add chain netdev broken in '{ type filter hook ingress device eth0 priority 0; }'",
		"nft add rule netdev broken in " + rule,
	}
}

func TestSettingsOfTheHostDoNotReachTheWire(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"a router, hardened": {
			Filter: overTheWire,
			Sandboxes: []string{
				"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.all.log_martians=1",
				"sysctl -qw net.ipv4.conf.all.arp_ignore=2 net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.drop_unicast_in_l2_multicast=1",
				"sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.all.accept_source_route=0 net.ipv4.tcp_syncookies=2",
			},
		},
		"open to its neighbours": {
			Filter:    overTheWire,
			Sandboxes: []string{"sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1 net.ipv4.conf.all.accept_local=1 net.ipv4.conf.eth0.accept_local=1"},
		},
		"without IPv6": {
			Filter:    overTheWire,
			Sandboxes: []string{"sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 net.ipv6.bindv6only=1"},
			IPv6:      true,
		},
	})
}

func TestWhatComesInOverTheWireIsTold(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"nothing of the neighbour": {
			Sandboxes: arriving("ip saddr 192.0.2.2 drop"),
			Filter:    "ADDR-016 || ADDR-017 || ADDR-018 || ADDR-021 || ADDR-023",
			Want: map[string]string{
				"ADDR-017": "the datagram from the neighbour, from 192.0.2.2:40000 to 192.0.2.1:7777, did not arrive",
				"ADDR-018": "with route_localnet at 1: the datagram for 127.0.0.1, from 192.0.2.2:40000 to 127.0.0.1:7777, did not arrive",
				"ADDR-021": "the datagram for the address on lo, from 192.0.2.2:40000 to 198.51.100.1:7777, did not arrive",
				"ADDR-023": "with accept_local at 0: the datagram from the neighbour",
			},
		},
		"from 127.0.0.1": {
			Sandboxes: arriving("ip saddr 127.0.0.1 ip saddr set 192.0.2.9"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-017": "the datagram from 127.0.0.1, from 127.0.0.1:40000 to 192.0.2.1:7777, was let in"},
		},
		"for 127.0.0.1": {
			Sandboxes: arriving("ip daddr 127.0.0.1 ip daddr set 192.0.2.1"),
			Filter:    overTheWire,
			Want: map[string]string{
				"ADDR-017": "the datagram for 127.0.0.1, from 192.0.2.2:40000 to 127.0.0.1:7777, was let in",
				"ADDR-018": "did not arrive",
			},
		},
		"from ::1": {
			Sandboxes: arriving("ip6 saddr ::1 ip6 saddr set 2001:db8::9"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-019": "the datagram from ::1, from [::1]:40000 to [2001:db8::1]:7777, was let in; Ip6InHdrErrors grew by 1 and not by 2"},
			IPv6:      true,
		},
		"for ::1, not counted": {
			Sandboxes: arriving("ip6 daddr ::1 drop"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-019": "::1 on the wire: Ip6InHdrErrors grew by 1 and not by 2"},
			IPv6:      true,
		},
		"asked for as ::ffff:127.0.0.1": {
			Sandboxes: arriving("ip6 saddr ::ffff:127.0.0.1 meta l4proto tcp ip6 saddr set 2001:db8::9"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-020": "a SYN from ::ffff:127.0.0.1 on the wire: the request for a connection was answered with 1 segment(s); Ip6InHdrErrors grew by 0 and not by 1"},
			IPv6:      true,
		},
		"strong host model": {
			Sandboxes: damage.Hook("prerouting", 0, "iifname eth0 ip daddr 198.51.100.1 drop"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-021": "an address of lo, asked for at eth0: the datagram for the address on lo"},
		},
		"from its own address": {
			Sandboxes: arriving("ip saddr 192.0.2.1 ip saddr set 192.0.2.9"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-023": "with accept_local at 0: the datagram from the machine's own address, from 192.0.2.1:40000 to 192.0.2.1:7777, was let in"},
		},
		"never from its own address": {
			Sandboxes: damage.Hook("input", 0, "iifname eth0 ip saddr 192.0.2.1 drop"),
			Filter:    overTheWire,
			Want:      map[string]string{"ADDR-023": "with accept_local at 1: the datagram from the machine's own address, from 192.0.2.1:40000 to 192.0.2.1:7777, did not arrive"},
		},
		"a neighbour that is the machine": {
			Sandboxes: []string{"ip route replace local 192.0.2.2 dev lo"},
			Filter:    "ADDR-016",
			Want:      map[string]string{"ADDR-016": "sending over udp from 127.0.0.1 to 192.0.2.2, another machine\nExpected\n    it was sent\nto equal\n    " + syscall.EINVAL.Error()},
		},
		"a neighbour out of reach": {
			Sandboxes: []string{"ip route replace unreachable 192.0.2.2"},
			Filter:    "ADDR-016",
			Want:      map[string]string{"ADDR-016": syscall.EHOSTUNREACH.Error()},
		},
		"connections from everywhere": {
			Filter:   "ADDR-016",
			Syscalls: []damage.Syscall{{Name: "connect", Length: 16}},
			Want:     map[string]string{"ADDR-016": "sending over tcp from 127.0.0.1 to 192.0.2.2"},
		},
	})
}

func TestAnotherLoIsTold(t *testing.T) {
	const connect, bind = "connect", "bind"
	refused := []damage.Syscall{{Name: connect, Length: 16, Errno: syscall.ECONNREFUSED}}
	damage.Table(t, map[string]damage.Case{
		"refused without lo": {
			Filter:   "ADDR-013",
			Syscalls: refused,
			Want:     map[string]string{"ADDR-013": `where lo was never up, a connect to 127.0.0.1 gave "connection refused" and not "network is unreachable"; where lo was taken down, a connect to 127.0.0.1 gave "connection refused"`},
		},
		"unreachable without lo": {
			Filter:   "ADDR-013",
			Syscalls: []damage.Syscall{{Name: connect, Length: 16, Errno: syscall.ENETUNREACH}},
			Want:     map[string]string{"ADDR-013": `where lo was taken down, a connect to 127.0.0.1 gave "network is unreachable" and not "operation now in progress"`},
		},
		"refused in each namespace": {
			Filter:   "ADDR-022",
			Syscalls: refused,
			Want:     map[string]string{"ADDR-022": "connect in the second namespace: connection refused, and not no error; connect in the first namespace: connection refused"},
		},
		"SYNs refused in the first namespace": {
			Filter:    "ADDR-022",
			Sandboxes: damage.Input("tcp flags syn reject with tcp reset"),
			Want:      map[string]string{"ADDR-022": "connect in the first namespace: connection refused, and not no error"},
		},
		"any address bound": {
			Filter:    "ADDR-024",
			Sandboxes: []string{"sysctl -qw net.ipv4.ip_nonlocal_bind=1"},
			Want:      map[string]string{"ADDR-024": "bind to 127.0.0.1 without 127.0.0.1/8 on lo\nExpected\n    no error\nto equal\n    cannot assign requested address"},
		},
		"another error": {
			Filter:   "ADDR-024",
			Syscalls: []damage.Syscall{{Name: bind, Length: 16, Errno: syscall.EACCES}},
			Want:     map[string]string{"ADDR-024": syscall.EACCES.Error()},
		},
		"connected without the address": {
			Filter:   "ADDR-024",
			Syscalls: []damage.Syscall{{Name: connect, Length: 16}},
			Want:     map[string]string{"ADDR-024": "connect to 127.0.0.1 without 127.0.0.1/8 on lo\nExpected\n    no error"},
		},
	})
}

// No damage makes namespaces share an lo, and the counters of martians move with
// the whole machine's.
func TestWhatNoDamageDoesIsTold(t *testing.T) {
	g := NewWithT(t)
	g.Expect(apart{Alone: syscall.ECONNREFUSED}.differences()).To(BeEmpty())
	g.Expect(apart{Bind: syscall.EADDRINUSE, Alone: syscall.ECONNREFUSED}.differences()).To(ConsistOf(ContainSubstring("the port that the first has: address already in use")))
	g.Expect(apart{Strayed: true}.differences()).To(ConsistOf(
		"a connection in the second namespace came to the listener of the first",
		"connect in the second namespace where only the first listens: no error, and not connection refused"))

	lost := loDown{NeverUp: syscall.ENETUNREACH, Lowered: syscall.EINPROGRESS, State: sock.SynSent}
	g.Expect(lost.differences()).To(BeEmpty())
	answered := lost
	answered.State, answered.Events, answered.Reached = sock.Established, sock.Writable, sock.Readable
	g.Expect(answered.differences()).To(ConsistOf(
		"where lo was taken down, the socket was in ESTABLISHED with events OUT and not in SYN_SENT without any",
		"where lo was taken down, the listener had events: IN"))

	martian := wirePlan{
		Send:    []wireDatagram{wireFrom(netip.MustParseAddr("127.0.0.1"), wireOwn.Addr(), "from 127.0.0.1")},
		Counted: map[string]int64{wireMartianSources: 1, wireMartianDestinations: 1},
	}
	_, missing := martian.differences(wireSeen{Counted: map[string]int64{wireMartianSources: 9, wireMartianDestinations: 1}})
	g.Expect(missing).To(BeEmpty())
	_, missing = martian.differences(wireSeen{})
	g.Expect(missing).To(ConsistOf("in_martian_src grew by 0 and not by 1", "in_martian_dst grew by 0 and not by 1"))
	ruled := wirePlan{Counted: map[string]int64{wireRuleCounter: 1}}
	_, missing = ruled.differences(wireSeen{Counted: map[string]int64{wireRuleCounter: 0}})
	g.Expect(missing).To(ConsistOf("packets that met the rule grew by 0 and not by 1"))
}
