package ping

import (
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// Numbers of include/uapi/linux/in.h and include/linux/socket.h.
const (
	ipTTL        = 2
	msgNoSignal  = 0x4000
	protocolICMP = 1
	addressBytes = 16
)

// withoutEffect makes a setting of the sandboxes one that takes every value and
// does nothing.
func withoutEffect(path string) []string {
	return []string{"test -e /run/setting || echo 0 > /run/setting", "mount --bind /run/setting /proc/sys/" + path}
}

// mended is a rule that gives the damaged echo request its right checksum.
func mended() string {
	right := icmp.Message(echoRequest, 0, icmp.EchoBody(7, 1, []byte("is this whole?")))
	return fmt.Sprintf("icmp type echo-request icmp sequence 1 @th,16,16 set %#x", binary.BigEndian.Uint16(right[2:]))
}

func TestSpecialAddressesFailInADamagedStack(t *testing.T) {
	spoiled := func(id, message string, setup ...string) damage.Case {
		return damage.Case{Filter: id, Setup: setup, Want: map[string]string{id: message}}
	}
	damage.Table(t, map[string]damage.Case{
		"first address for broadcasts": spoiled("PING-003", "replies that pro-bing received from 127.0.0.0",
			"ip route add broadcast 127.0.0.0 dev lo table local"),
		"no broadcast address": spoiled("PING-004", "an echo request to 127.255.255.255 without SO_BROADCAST",
			"ip route del broadcast 127.255.255.255 dev lo table local"),
		"broadcasts answered": spoiled("PING-004", "echo requests to 127.255.255.255 that were answered, where net.ipv4.icmp_echo_ignore_broadcasts is 1",
			"nft add table ip broken",
			"nft add chain ip broken out '{ type nat hook output priority 0; }'",
			"nft add rule ip broken out 'ip daddr 127.255.255.255 dnat to 127.0.0.1'"),
		"broadcasts lost": spoiled("PING-004", "where net.ipv4.icmp_echo_ignore_broadcasts is 0",
			append(damage.Input("fib daddr type broadcast drop"), "sysctl -w net.ipv4.icmp_echo_ignore_broadcasts=0")...),
		"errors limited": spoiled("PING-016", "datagrams to closed port",
			damage.Input("icmp type destination-unreachable limit rate over 1/hour burst 500 packets drop")...),
		"another error": spoiled("PING-016", "that is not port unreachable",
			damage.Input("meta l4proto udp numgen inc mod 1000 == 999 reject with icmp type host-unreachable")...),
		"low TTL dropped": spoiled("PING-017", "an echo request with IP_TTL of 1 to 127.0.0.1",
			damage.Input("ip ttl 1 drop")...),
		"TTL of 0 taken": {
			Filter: "PING-017", Syscalls: []damage.Syscall{{Name: "setsockopt", Arguments: damage.Option(syscall.IPPROTO_IP, ipTTL)}},
			Want: map[string]string{"PING-017": "setting IP_TTL to 0"},
		},
	})
}

func TestChecksInSandboxesFailInADamagedStack(t *testing.T) {
	inside := func(id, message string, commands ...string) damage.Case {
		return damage.Case{Filter: id, Sandboxes: commands, Want: map[string]string{id: message}}
	}
	answered := func(id, message string, call damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: []damage.Syscall{call}, Want: map[string]string{id: message}}
	}
	// What is sent over a socket of the check's, and not over netlink.
	sent := func(errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "sendmsg", Arguments: map[int]uint32{2: msgNoSignal}, Errno: errno}
	}
	v6 := inside("PING-005", "echo requests to ::1 that were answered", withoutEffect("net/ipv6/icmp/echo_ignore_all")...)
	v6.IPv6 = true
	damage.Table(t, map[string]damage.Case{
		"never silent":            inside("PING-005", "echo requests to 127.0.0.1 that were answered", withoutEffect("net/ipv4/icmp_echo_ignore_all")...),
		"never silent over IPv6":  v6,
		"always silent":           inside("PING-005", "await the echo reply 2 from 127.0.0.1", output("icmp type echo-reply drop")...),
		"damaged one is mended":   inside("PING-007", "of which the checksum of the first was wrong", damage.Input(mended())...),
		"timestamp lost":          inside("PING-008", "the answer to a timestamp request to 127.0.0.1", output("icmp type timestamp-reply drop")...),
		"another originate stamp": inside("PING-008", "the request's stamp", output("icmp type timestamp-reply @th,64,32 set 1")...),
		"no time of the day":      inside("PING-008", "the transmit stamp is 4294967295", output("icmp type timestamp-reply @th,128,32 set 0xffffffff")...),
		"interfaces told":         inside("PING-008", "types of what came back", "sysctl -w net.ipv4.icmp_echo_enable_probe=1"),
		"for everybody":           inside("PING-009", "as root, where net.ipv4.ping_group_range holds no group", "sysctl -w net.ipv4.ping_group_range='0 0'"),
		"for nobody":              inside("PING-009", "where net.ipv4.ping_group_range holds the group", withoutEffect("net/ipv4/ping_group_range")...),
		"with another error":      answered("PING-009", "operation not permitted", damage.Syscall{Name: "socket", Arguments: map[int]uint32{2: protocolICMP}, Errno: syscall.EPERM}),
		"another identifier":      inside("PING-010", "identifier of an echo request from a ping socket", damage.Hook("output", 300, "icmp type echo-request icmp id set 1")...),
		"reply to nobody":         inside("PING-010", "the echo reply for a ping socket", damage.Hook("output", 300, "icmp type echo-reply drop")...),
		"everything taken":        answered("PING-011", "sending type 8, code 1 over a ping socket of IPv4", sent(0)),
		"nothing taken":           answered("PING-011", "sending type 8, code 0 over a ping socket of IPv4", sent(syscall.EINVAL)),
		"not shared":              answered("PING-012", "ping socket 1 of 2 of one identifier", damage.Syscall{Name: "bind", Length: addressBytes, Errno: syscall.EADDRINUSE}),
		"reply lost":              inside("PING-012", "which of two ping sockets", output("icmp type echo-reply drop")...),
		"second lost":             inside("PING-012", "when the newer had been closed", output("icmp type echo-reply icmp sequence 2 drop")...),
		"protocol dropped":        inside("PING-015", "await an ICMP error for a packet of protocol 253", damage.Input("ip protocol 253 drop")...),
		"another code":            inside("PING-015", "what came back for a packet of protocol 253", output("icmp type destination-unreachable icmp code set host-unreachable")...),
		"counted twice": inside("PING-015", "growth of Ip InUnknownProtos",
			"nft add table ip broken",
			"nft add chain ip broken out '{ type filter hook output priority 0; }'",
			"nft add rule ip broken out 'ip protocol 253 dup to 127.0.0.2'"),
	})
}

func TestChecksHoldWhateverTheSettings(t *testing.T) {
	for name, setup := range map[string][]string{
		"broadcasts are answered": {"sysctl -w net.ipv4.icmp_echo_ignore_broadcasts=0"},
		"errors are limited":      {"sysctl -w net.ipv4.icmp_ratelimit=100000", "sysctl -w net.ipv4.icmp_ratemask=65535"},
		"ping for everybody":      {"sysctl -w net.ipv4.ping_group_range='0 0'"},
		"small MTU":               {"ip link set lo mtu 1500"},
		"no IPv6":                 {"sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"},
		"tracked":                 slices.Concat(damage.Input("ct state established accept"), []string{"nft add rule inet broken input 'ct state new accept'"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for id, o := range damage.Outcomes(t, setup, "ping && !(PING-014 || PING-018 || PING-019)") {
				if o.State != check.Pass && o.State != check.Inconclusive {
					t.Errorf("%s: %s: %s", id, o.State, o.Message)
				}
			}
		})
	}
}

func TestStampsAreTheTimeOfTheDay(t *testing.T) {
	for name, c := range map[string]struct {
		s    stamps
		want string
	}{
		"at once":           {stamps{Receive: 1000, Transmit: 1000, Sent: 1000, Received: 1001}, ""},
		"around midnight":   {stamps{Receive: 5, Transmit: dayMs - 1, Sent: dayMs - 2, Received: 6}, ""},
		"a slow answer":     {stamps{Receive: 1000, Transmit: 3_000_000, Sent: 1000, Received: 3_000_000}, ""},
		"another zone":      {stamps{Receive: 3_601_000, Transmit: 1000, Sent: 1000, Received: 1001}, "the receive stamp is 01:00:01.000 UT, and the answer came at 00:00:01.001 UT"},
		"a minute too soon": {stamps{Receive: 61_000, Transmit: 1000, Sent: 61_000, Received: 61_001}, "the transmit stamp is 00:00:01.000 UT, and the answer came at 00:01:01.001 UT"},
		"not standard":      {stamps{Receive: notStandard, Sent: 1, Received: 2}, "the receive stamp is 2147483648, which is no time of the day, and the answer came at 00:00:00.002 UT"},
	} {
		NewWithT(t).Expect(c.s.wrong()).To(Equal(c.want), name)
	}
}

// Containers give private namespaces, at times, in which no setting can be
// changed.
func TestReadOnlySettingsAreASkip(t *testing.T) {
	readOnly := []string{"mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys"}
	for id, o := range damage.OutcomesInside(t, nil, readOnly, "PING-005 || PING-009 || PING-010 || PING-011 || PING-012") {
		NewWithT(t).Expect(o).To(And(
			HaveField("State", check.Skip), HaveField("Message", ContainSubstring(check.OwnSettings.Name))), id)
	}
}
