package addressing

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// shareTries is how often a port that another process has is given up.
const shareTries = 8

var _ = suite.It("keeps IPv4 off a socket with IPV6_V6ONLY, and leaves its port free for one of IPv4", check.Check{
	ID: "ADDR-002", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 3493 5.3; ipv6(7), IPV6_V6ONLY; gVisor, V6OnlyV6AnyReservesV6",
	Needs:  []check.Need{check.IPv6, check.BindToDevice},
	Asks:   "Binds a socket with IPV6_V6ONLY to a port of [::], and one of IPv4 to the same port of 0.0.0.0, both on lo only, over TCP and UDP. Both must be bound. While only the first listens, a TCP connection to ::1 must be answered and one to 127.0.0.1 refused; when both do, each must be answered.",
	Why:    "Servers that open one socket for each family (nginx, BIND, PostgreSQL, systemd units with two ListenStream lines) set the option and need the same port twice. Where it does not hold, the second fails with EADDRINUSE and the server does not start.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
		"a firewall drops the SYN or the RST that answers it",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	deadline := spec.Within(ctx, patience)
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	spec.Flow("tcp", sock.IPv6.Loopback(0))
	// Where the port of IPv4 is held and closed, nobody else answers on it.
	v6, v4, port := v6OnlyBeside(sock.TCP)
	Expect(v6.Listen(1)).To(Succeed())
	connectFrom(deadline, sock.IPv6, sock.IPv6.Loopback(port), fmt.Sprintf("to the listener with IPV6_V6ONLY on [::]:%d", port))
	expectRefused(deadline, sock.IPv4, sock.IPv4.Loopback(port), fmt.Sprintf("a connection to 127.0.0.1:%d, while only a socket with IPV6_V6ONLY listens on [::]:%d", port, port))
	Expect(v4.Listen(1)).To(Succeed(), "listen on 0.0.0.0:%d, while a socket with IPV6_V6ONLY listens on [::]:%d", port, port)
	connectFrom(deadline, sock.IPv4, sock.IPv4.Loopback(port), fmt.Sprintf("to the listener on 0.0.0.0:%d", port))
	_, _, udpPort := v6OnlyBeside(sock.UDP)
	spec.Evidence("tcp", "[::]:%d with IPV6_V6ONLY: 127.0.0.1 was refused (%s) until a socket on 0.0.0.0:%d listened as well", port, syscall.ECONNREFUSED, port)
	spec.Evidence("udp", "[::]:%d with IPV6_V6ONLY and 0.0.0.0:%d were both bound", udpPort, udpPort)
})

// v6OnlyBeside binds a socket with IPV6_V6ONLY to a port of [::], and one of
// IPv4 to the same port, both on lo. Another process may have that port of
// IPv4, so it tries a few.
func v6OnlyBeside(kind sock.Kind) (v6, v4 *sock.Socket, port uint16) {
	GinkgoHelper()
	for try := 1; ; try++ {
		v6, v4 = open(kind, sock.IPv6), open(kind, sock.IPv4)
		Expect(v6.SetV6Only()).To(Succeed())
		spec.BindToLo(v6)
		spec.BindToLo(v4)
		port = bindAny(v6, netip.IPv6Unspecified()).Port()
		at := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		err := v4.Bind(at)
		if errors.Is(err, syscall.EADDRINUSE) && try < shareTries {
			Expect(errors.Join(v6.Close(), v4.Close())).To(Succeed())
			continue
		}
		Expect(err).NotTo(HaveOccurred(), "bind %s %v, while a socket with IPV6_V6ONLY is bound to [::]:%d", kind, at, port)
		return v6, v4, port
	}
}

var _ = suite.It("does not change IPV6_V6ONLY of a socket that is bound", check.Check{
	ID: "ADDR-003", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv6/ipv6_sockglue.c, IPV6_V6ONLY",
	Needs:  []check.Need{check.IPv6},
	Asks:   "Binds sockets to ::1, over TCP and UDP, and sets IPV6_V6ONLY to 0 and to 1. Both must give EINVAL, and the option stay as it was.",
	Why:    "Which ports stand in each other's way is decided at bind. A program that sets the option too late has to be told, or it runs on in the belief that it keeps IPv4 out, or lets it in.",
	Causes: []string{
		spec.OtherStack,
		"a library put before the program (LD_PRELOAD) that changes its options",
	},
	Remedies: []string{
		spec.OwnStack,
		"have the program set the option before bind; `sysctl -w net.ipv6.bindv6only=1` sets it for sockets made from then on",
	},
}, func(SpecContext) {
	spec.NeedIPv6()
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		s := open(kind, sock.IPv6)
		at := bindAny(s, netip.IPv6Loopback())
		before, err := s.Get(sock.V6Only)
		Expect(err).NotTo(HaveOccurred())
		for value := range 2 {
			Expect(s.Set(sock.V6Only, value)).To(MatchError(syscall.EINVAL), "IPV6_V6ONLY set to %d on a socket bound to %s %v", value, kind, at)
		}
		Expect(s.Get(sock.V6Only)).To(Equal(before), "IPV6_V6ONLY after it was refused on a socket bound to %s %v", kind, at)
		spec.Evidence(kind.String(), "IPV6_V6ONLY set to 0 and 1 after bind: %s; it stayed %d", syscall.EINVAL, before)
	}
})

var _ = suite.It("keeps addresses of IPv4 off a socket with IPV6_V6ONLY", check.Check{
	ID: "ADDR-008", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv6/af_inet6.c and tcp_ipv6.c (RFC 3493 5.3 restricts the socket and names no error)",
	Needs:  []check.Need{check.IPv6},
	Asks:   "Gives sockets with IPV6_V6ONLY the address ::ffff:127.0.0.1, over TCP and UDP: bind must be refused with EINVAL, connect to a port that the check holds with ENETUNREACH.",
	Why:    "Go, Java and others try an address on one socket and go on to the next by its error. Where the call goes through in spite of the option, a program that was told to speak IPv6 alone speaks IPv4, past rules that were made for that.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
	},
}, func(SpecContext) {
	spec.NeedIPv6()
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		// Were the call to go through, nobody else would hear of it.
		holder := open(kind, sock.IPv4)
		to := netip.AddrPortFrom(mapped, bindAny(holder, loopback(sock.IPv4)).Port())
		v6Only := func() *sock.Socket {
			s := open(kind, sock.IPv6)
			Expect(s.SetV6Only()).To(Succeed())
			return s
		}
		Expect(v6Only().Bind(netip.AddrPortFrom(mapped, 0))).To(MatchError(syscall.EINVAL), "bind of a %s socket with IPV6_V6ONLY to %v", kind, mapped)
		Expect(v6Only().StartConnect(to)).To(MatchError(syscall.ENETUNREACH), "connect of a %s socket with IPV6_V6ONLY to %v", kind, to)
		spec.Evidence(kind.String(), "bind to %v: %s; connect: %s", mapped, syscall.EINVAL, syscall.ENETUNREACH)
	}
})
