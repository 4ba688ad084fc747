package addressing

import (
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestChecksOfDualStackFailInADamagedStack(t *testing.T) {
	const (
		// The addresses of IPv4 and of IPv6 as bind takes them.
		inet, inet6 = 16, 28
		// IPV6_V6ONLY of include/uapi/linux/in6.h.
		v6Only = 26
		v6Both = "ADDR-002 || ADDR-003 || ADDR-005 || ADDR-006 || ADDR-008 || ADDR-009"
	)
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}, IPv6: true}
	}
	inside := func(message string, commands ...string) damage.Case {
		return damage.Case{Filter: "ADDR-007", Sandboxes: commands, Want: map[string]string{"ADDR-007": message}, IPv6: true}
	}
	call := func(name string, length uint32, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: name, Length: length, Errno: errno}
	}
	ignored := damage.Syscall{Name: "setsockopt", Arguments: damage.Option(syscall.IPPROTO_IPV6, v6Only)}
	damage.Table(t, map[string]damage.Case{
		"IPV6_V6ONLY ignored": {
			Filter: v6Both, Syscalls: []damage.Syscall{ignored}, IPv6: true,
			Want: map[string]string{
				"ADDR-002": ", while a socket with IPV6_V6ONLY is bound to [::]:",
				"ADDR-003": "IPV6_V6ONLY set to 0 on a socket bound to tcp [::1]:",
				"ADDR-008": "bind of a tcp socket with IPV6_V6ONLY to ::ffff:127.0.0.1",
			},
		},
		"IPV6_V6ONLY refused with another error": {
			Filter: "ADDR-003", IPv6: true,
			Syscalls: []damage.Syscall{{Name: ignored.Name, Arguments: ignored.Arguments, Errno: syscall.EPERM}},
			Want:     map[string]string{"ADDR-003": "operation not permitted"},
		},
		"IPv4 answered on a socket of IPv6": {
			Filter: "ADDR-002", IPv6: true,
			Setup: []string{
				"nft add table ip broken", "nft add chain ip broken input '{ type filter hook input priority 0; }'",
				"nft add rule ip broken input tcp flags syn reject with icmp port-unreachable",
			},
			Want: map[string]string{"ADDR-002": "to the listener on 0.0.0.0:"},
		},
		"::2 bound":                  answered("ADDR-005", "bind of a tcp socket to ::2, where net.ipv6.ip_nonlocal_bind is 0\nExpected an error, got nil", call("bind", inet6, 0)),
		"a link-local bound":         answered("ADDR-006", "bind of a tcp socket to fe80::1 without a scope", call("bind", inet6, 0)),
		"a link-local reached":       answered("ADDR-006", "connect of a udp socket to fe80::1 without a scope", call("connect", inet6, syscall.ENETUNREACH)),
		"::1 there all the same":     answered("ADDR-007", "bind to ::1, where net.ipv6.conf.lo.disable_ipv6 is 1", call("bind", inet6, 0)),
		"::1 missing from the start": inside("bind to ::1, where net.ipv6.conf.lo.disable_ipv6 is 0", "ip link set lo down"),
		"IPv4 refused": inside("a connection from 127.0.0.1 to a listener on [::], where net.ipv6.conf.lo.disable_ipv6 is 1\nExpected\n    connection refused",
			damage.Input("meta nfproto ipv4 tcp flags syn reject with tcp reset")...),
		"IPv4 lost": inside("context deadline exceeded", damage.Input("meta nfproto ipv4 tcp flags syn drop")...),
		"the client translated": inside("how the listener on [::] sees its client 127.0.0.1:",
			"nft add table ip nat", "nft add chain ip nat post '{ type nat hook postrouting priority 100; }'",
			"nft add rule ip nat post ip saddr 127.0.0.1 snat to 127.0.0.99"),
		"connected to IPv4":         answered("ADDR-008", "connect of a tcp socket with IPV6_V6ONLY to [::ffff:127.0.0.1]:", call("connect", inet6, 0)),
		"a mapped port bound again": answered("ADDR-009", "bind tcp 127.0.0.1:", call("bind", inet, 0)),
	})
}

func TestChecksOfDualStackFollowTheSettings(t *testing.T) {
	for name, setup := range map[string][]string{
		"::2 given":                     {"ip address add ::2/128 dev lo"},
		"addresses bound before theirs": {"sysctl -qw net.ipv6.ip_nonlocal_bind=1"},
		"IPv6 apart":                    {"sysctl -qw net.ipv6.bindv6only=1"},
		"a link-local address on lo":    {"ip address add fe80::1/64 dev lo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damage.Table(t, map[string]damage.Case{"": {
				Setup: setup, IPv6: true,
				Filter: "ADDR-002 || ADDR-003 || ADDR-005 || ADDR-006 || ADDR-007 || ADDR-008 || ADDR-009",
			}})
		})
	}
}
