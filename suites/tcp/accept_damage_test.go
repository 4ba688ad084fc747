package tcp

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

// Numbers of include/uapi/asm-generic/socket.h, include/uapi/linux/in.h and
// include/uapi/linux/tcp.h.
const (
	accSoReceiveBuffer = 8
	accSoKeepAlive     = 9
	accIPTOS           = 1
	accIPTTL           = 2
	accTCPDeferAccept  = 9
	accTCPUserTimeout  = 18
)

// accAnyFlows are those of the check that connects to 0.0.0.0 and [::].
func accAnyFlows() []check.Flow {
	flows := []check.Flow{flowtest.To("tcp", "127.0.0.1:0")}
	if spec.LacksIPv6() == "" {
		flows = append(flows, flowtest.To("tcp", "[::1]:0"))
	}
	return flows
}

func TestAcceptChecksFailInADamagedStack(t *testing.T) {
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	ignored := func(option string, level, name int) damage.Case {
		return answered("TCP-014", option+" of an accepted socket", damage.Syscall{Name: "setsockopt", Arguments: damage.Option(level, name)})
	}
	ruled := func(id, message, rule string) damage.Case {
		return damage.Case{Filter: id, Setup: damage.Input(rule), Want: map[string]string{id: message}}
	}
	const socketLevel, ip, tcp = solSocket, syscall.IPPROTO_IP, syscall.IPPROTO_TCP
	damage.Table(t, map[string]damage.Case{
		"connections limited": ruled("TCP-010", "connection 5 of 8 that the queue of 127.0.0.1", "tcp flags & (syn|ack) == syn limit rate over 1/hour burst 4 packets reject with tcp reset"),

		"EAGAIN by another name":       answered("TCP-011", "where nobody waits", damage.Syscall{Name: "accept4", Errno: syscall.ECONNABORTED}),
		"reset connections kept back":  answered("TCP-012", "was reset", damage.Syscall{Name: "accept4", Errno: syscall.ECONNABORTED}),
		"accepted sockets do not wait": answered("TCP-013", "how long a read of nothing waited on an accepted socket", damage.Syscall{Name: "recvfrom", Errno: syscall.EAGAIN}),

		"TCP_NODELAY not passed on":      ignored("TCP_NODELAY", tcp, tcpNoDelay),
		"SO_KEEPALIVE not passed on":     ignored("SO_KEEPALIVE", socketLevel, accSoKeepAlive),
		"SO_RCVBUF not passed on":        ignored("SO_RCVBUF", socketLevel, accSoReceiveBuffer),
		"IP_TTL not passed on":           ignored("IP_TTL", ip, accIPTTL),
		"IP_TOS not passed on":           ignored("IP_TOS", ip, accIPTOS),
		"TCP_USER_TIMEOUT not passed on": ignored("TCP_USER_TIMEOUT", tcp, accTCPUserTimeout),

		"a listener that connects":    answered("TCP-015", "connect on the listener", damage.Syscall{Name: "connect", Errno: syscall.EINPROGRESS}),
		"accept without a listener":   answered("TCP-015", "accept on a socket that does not listen", damage.Syscall{Name: "accept4", Errno: syscall.EAGAIN}),
		"a connection that listens":   answered("TCP-015", "listen on a connection", damage.Syscall{Name: "listen", Arguments: map[int]uint32{1: 1}}),
		"no port chosen":              answered("TCP-016", "the port of a socket that listens without a bind", damage.Syscall{Name: "listen"}),
		"0.0.0.0 refused":             answered("TCP-017", "a connection to 0.0.0.0:", damage.Syscall{Name: "connect", Length: 16, Errno: syscall.EADDRNOTAVAIL}),
		"[::] refused":                accWithIPv6(answered("TCP-017", "a connection to [::]:", damage.Syscall{Name: "connect", Length: 28, Errno: syscall.EADDRNOTAVAIL})),
		"port 0 dropped":              ruled("TCP-018", "context deadline exceeded", "tcp dport 0 drop"),
		"broadcast tried":             answered("TCP-019", "a connection to 255.255.255.255:9", damage.Syscall{Name: "connect", Errno: syscall.EINPROGRESS}),
		"shutdown ignored":            answered("TCP-022", "accept at 127.0.0.1", damage.Syscall{Name: "shutdown"}),
		"port kept after shutdown":    answered("TCP-023", "4 ports that bind had chosen are still in use", damage.Syscall{Name: "shutdown"}),
		"listens again to nobody":     ruled("TCP-023", "which listens again", "tcp flags syn drop"),
		"accepted connections broken": ruled("TCP-024", "the read of the accepted socket after its listener was closed", "tcp flags & psh == psh drop"),
		"a peer of nobody":            answered("TCP-028", "peer of a fresh socket", damage.Syscall{Name: "getpeername"}),
	})
}

func accWithIPv6(c damage.Case) damage.Case {
	c.IPv6 = true
	return c
}

// accUnheeded makes a setting of sandboxes one that takes what is written and
// does nothing.
func accUnheeded(setting string) []string {
	return []string{"mount --bind /dev/null /proc/sys/net/ipv4/" + setting}
}

func TestAcceptJobsFailInADamagedSandbox(t *testing.T) {
	inside := func(id, message string, commands ...string) damage.Case {
		return damage.Case{Filter: id, Sandboxes: commands, Want: map[string]string{id: message}}
	}
	damage.Table(t, map[string]damage.Case{
		"no cookies":      inside("TCP-025", "growth of TcpExt SyncookiesSent", accUnheeded("tcp_syncookies")...),
		"cookies spoiled": inside("TCP-025", "accept: wait for IN", damage.Input("tcp flags & (syn|ack) == ack tcp ackseq set 1")...),
		"TCP_DEFER_ACCEPT ignored": {
			Filter:   "TCP-026",
			Syscalls: []damage.Syscall{{Name: "setsockopt", Arguments: damage.Option(syscall.IPPROTO_TCP, accTCPDeferAccept)}},
			Want:     map[string]string{"TCP-026": "TCP_DEFER_ACCEPT after it was set to 5"},
		},
		"cookies, which defer nothing": inside("TCP-026", "accept with TCP_DEFER_ACCEPT before the client sent anything", "sysctl -qw net.ipv4.tcp_syncookies=2"),
		"deferred data lost":           inside("TCP-026", "accept: wait for IN: context deadline exceeded", damage.Input("tcp flags & psh == psh drop")...),
		"no cookie given":              inside("TCP-027", "growth of TcpExt TCPFastOpenCookieReqd", accUnheeded("tcp_fastopen")...),
		"SYN with data lost": inside("TCP-027", "whether data was acknowledged in the SYN of the second connection",
			damage.Input("tcp flags & (syn|ack) == syn meta length gt 80 drop")...),
	})
}

func TestAcceptChecksFollowTheSettings(t *testing.T) {
	const all = "TCP-010 || TCP-011 || TCP-012 || TCP-013 || TCP-014 || TCP-015 || TCP-016 || TCP-017 || TCP-018 || TCP-019 || " +
		"TCP-021 || TCP-022 || TCP-023 || TCP-024 || TCP-025 || TCP-026 || TCP-027 || TCP-028"
	set := func(settings ...string) (commands []string) {
		for _, setting := range settings {
			commands = append(commands, "sysctl -w '"+setting+"'")
		}
		return commands
	}
	for name, setup := range map[string][]string{
		"cookies":               set("net.ipv4.tcp_syncookies=2"),
		"no cookies":            set("net.ipv4.tcp_syncookies=0"),
		"service reflected":     set("net.ipv4.tcp_reflect_tos=1"),
		"short queues":          set("net.core.somaxconn=2", "net.ipv4.tcp_abort_on_overflow=1"),
		"no Fast Open":          set("net.ipv4.tcp_fastopen=0"),
		"few ports":             set("net.ipv4.ip_local_port_range=40000 40031"),
		"any address":           set("net.ipv4.ip_nonlocal_bind=1", "net.ipv6.ip_nonlocal_bind=1"),
		"no IPv6":               set("net.ipv6.conf.all.disable_ipv6=1"),
		"no IPv4 but 127.0.0.1": {"ip address del 127.0.0.1/8 dev lo", "ip address add 127.0.0.1/32 dev lo"},
		"a small MTU":           {"ip link set lo mtu 1500"},
		"a default route":       {"ip link add outside type veth peer name away", "ip link set outside up", "ip address add 192.0.2.1/24 dev outside", "ip route add default via 192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for id, o := range damage.Outcomes(t, setup, all) {
				if o.State == check.Fail || o.State == check.Warn {
					t.Errorf("%s: %s: %s", id, o.State, o.Message)
				}
			}
		})
	}
}

func TestOrderOfAcceptedConnections(t *testing.T) {
	g := NewWithT(t)
	a, b, c := netip.MustParseAddrPort("127.0.0.1:3"), netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	came := []netip.AddrPort{a, b, c}
	g.Expect(slices.IsSorted(accOrder(came, came))).To(BeTrue())
	g.Expect(accOrder(came, []netip.AddrPort{b, a, c})).To(Equal([]int{2, 1, 3}))
	g.Expect(accOrder(came, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")})).To(Equal([]int{0}))
}
