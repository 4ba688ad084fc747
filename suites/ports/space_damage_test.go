package ports

import (
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// Numbers of include/uapi/asm-generic/socket.h and include/uapi/linux/in.h.
const (
	soReusePort         = 15
	ipFreeBind          = 15
	ipBindAddressNoPort = 24
	ipLocalPortRange    = 51
	// noSignal is MSG_NOSIGNAL of send(2).
	noSignal = 0x4000
)

func TestChecksOfChoiceFailInADamagedStack(t *testing.T) {
	// The addresses of IPv4 and of IPv6 as bind takes them.
	const inet, inet6 = 16, 28
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	inside := func(id, message string, commands ...string) damage.Case {
		return damage.Case{Filter: id, Sandboxes: commands, Want: map[string]string{id: message}}
	}
	bind := func(length uint32, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "bind", Length: length, Errno: errno}
	}
	ignored := func(level, name int) damage.Syscall {
		return damage.Syscall{Name: "setsockopt", Arguments: damage.Option(level, name)}
	}
	ipv6 := func(c damage.Case) damage.Case {
		c.IPv6 = true
		return c
	}
	damage.Table(t, map[string]damage.Case{
		"no port chosen": answered("PORT-002", "ports that bind of tcp over IPv4 chose from 40000 to 40007, where net.ipv4.ip_local_reserved_ports is 40001,40002,40003,40006, until it said: errno 0\nExpected\n    [0, 0, ",
			bind(inet, 0)),
		"no port chosen over IPv6": ipv6(answered("PORT-002", "ports that bind of tcp over IPv6 chose", bind(inet6, 0))),
		"connections refused, of free ports": inside("PORT-002", "ports that connect of tcp over IPv4 chose",
			damage.Input("tcp sport { 40000-40007 } reject with tcp reset")...),
		"more ports than there are": answered("PORT-003", "bind of tcp over IPv4, after it was given the ports [0 0 0 0 0] of 40000 to 40003", bind(inet, 0)),
		"no port for a connect": inside("PORT-003", "connect of tcp over IPv4, after it was given the ports [] of 40000 to 40003\nExpected\n    connection refused",
			damage.Input("tcp dport 50000 reject with tcp reset")...),
		"connected without a port": answered("PORT-004", "connect of udp over IPv4, with no port of 40000 to 40003 left", damage.Syscall{Name: "connect", Length: inet}),
		"sent without a port":      answered("PORT-004", "sendto of udp over IPv4, with no port of 40000 to 40003 left", damage.Syscall{Name: "sendmsg", Arguments: map[int]uint32{2: noSignal}}),
		"bound without a port":     answered("PORT-004", "bind of udp over IPv4, after it was given the ports", bind(inet, 0)),
		"IP_LOCAL_PORT_RANGE ignored": answered("PORT-005", "the port chosen by bind of tcp over IPv4 with IP_LOCAL_PORT_RANGE",
			ignored(syscall.IPPROTO_IP, ipLocalPortRange)),
		"no port of the range free": {
			Filter: "PORT-005",
			// The ports that bind finds free, and connect does not.
			Setup: damage.Input("meta nfproto ipv4 meta l4proto tcp reject with icmp host-unreachable"),
			Want:  map[string]string{"PORT-005": "connect of tcp over IPv4 with IP_LOCAL_PORT_RANGE"},
		},
		"IP_BIND_ADDRESS_NO_PORT ignored": answered("PORT-006", "the address of tcp over IPv4 after bind with IP_BIND_ADDRESS_NO_PORT\nExpected\n    127.0.0.1:",
			ignored(syscall.IPPROTO_IP, ipBindAddressNoPort)),
		"no port at connect": answered("PORT-006", "connect of tcp over IPv6 after bind with IP_BIND_ADDRESS_NO_PORT",
			damage.Syscall{Name: "connect", Length: inet6, Errno: syscall.EADDRNOTAVAIL}),
		"connected without one": answered("PORT-006", "the port of tcp over IPv4 after connect to", damage.Syscall{Name: "connect", Length: inet}),
		"SO_REUSEPORT ignored": answered("PORT-010", "tcp over IPv4, the first with, the second of one user with SO_REUSEPORT: address already in use",
			ignored(syscall.SOL_SOCKET, soReusePort)),
		"everything shared": answered("PORT-010", "tcp over IPv4, the first without, the second of one user with SO_REUSEPORT: was bound", bind(inet, 0)),
		"bound twice":       answered("PORT-011", "the second bind of a socket of tcp over IPv4", bind(inet, 0)),
		"IP_FREEBIND ignored": answered("PORT-011", "bind of tcp over IPv4 to 192.0.2.1, which is not the machine's, with IP_FREEBIND",
			ignored(syscall.IPPROTO_IP, ipFreeBind)),
		"every address taken for its own": {
			Filter: "PORT-011",
			Setup:  []string{"ip route add local 192.0.2.1 dev lo table 99", "ip rule add to 192.0.2.1 lookup 99 priority 40000"},
			Want:   map[string]string{},
		},
		"port of a connection bound":           answered("PORT-012", "bind tcp 127.0.0.1:", bind(inet, 0)),
		"port of a connection bound over IPv6": ipv6(answered("PORT-012", "while a connection from [::1]:", bind(inet6, 0))),
	})
}

// The half about another user's socket cannot be damaged: whose a socket is
// shows in nothing but what bind makes of it.
func TestSharingIsJudgedByBothSocketsAndTheirUser(t *testing.T) {
	g := NewWithT(t)
	right := []sharing{
		{Kind: sock.TCP, First: true, Second: true, OneUser: true},
		{Kind: sock.TCP, First: true, OneUser: true, Errno: syscall.EADDRINUSE},
		{Kind: sock.UDP, Second: true, OneUser: true, Errno: syscall.EADDRINUSE},
		{Kind: sock.UDP, First: true, Second: true, Errno: syscall.EADDRINUSE},
	}
	g.Expect(wronglyShared(right)).To(BeEmpty())
	g.Expect(sharedTimes(right)).To(Equal(1))
	g.Expect(wronglyShared([]sharing{
		{Kind: sock.TCP, First: true, Second: true},
		{Kind: sock.UDP, Family: sock.IPv6, First: true, Second: true, Errno: syscall.EACCES},
		{Kind: sock.TCP, First: true, Second: true, OneUser: true, Errno: syscall.EADDRINUSE},
	})).To(Equal([]string{
		"tcp over IPv4, the first with, the second of another user with SO_REUSEPORT: was bound",
		"udp over IPv6, the first with, the second of another user with SO_REUSEPORT: permission denied",
		"tcp over IPv4, the first with, the second of one user with SO_REUSEPORT: address already in use",
	}))
}
