package addressing

import (
	"errors"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("takes a port of IPv4 alone for a socket bound to ::ffff:127.0.0.1", check.Check{
	ID: "ADDR-009", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 3493 3.7; RFC 4291 2.5.5.2; ipv6(7); gVisor, V4MappedLoopbackOnlyReservesV4",
	Needs:  []check.Need{check.IPv6, check.BindToDevice},
	Asks:   "Binds a socket of IPv6 to a port of ::ffff:127.0.0.1, over TCP and UDP. The same port of 127.0.0.1 and of 0.0.0.0 must be refused with EADDRINUSE, that of ::1 be given. Nothing listens, and UDP sockets on 0.0.0.0 are bound to lo.",
	Why:    "Java, Node.js and other runtimes bind IPv4 addresses so, on sockets of IPv6. Were the port not taken for IPv4, a second server could be put on it unseen; were it taken for IPv6 as well, the server's own socket on ::1 would fail.",
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
		holder, at := mappedBesideIPv6(kind)
		for _, addr := range []netip.Addr{loopback(sock.IPv4), netip.IPv4Unspecified()} {
			latecomer := open(kind, sock.IPv4)
			if kind == sock.UDP && addr.IsUnspecified() {
				spec.BindToLo(latecomer)
			}
			taken := netip.AddrPortFrom(addr, at.Port())
			Expect(latecomer.Bind(taken)).To(MatchError(syscall.EADDRINUSE), "bind %s %v, while a socket is bound to %v", kind, taken, at)
			Expect(latecomer.Close()).To(Succeed())
		}
		Expect(holder.Close()).To(Succeed())
		spec.Evidence(kind.String(), "%v keeps 127.0.0.1 and 0.0.0.0 out (%s), and lets ::1 have the port", at, syscall.EADDRINUSE)
	}
})

// mappedBesideIPv6 binds a socket of IPv6 to a port of ::ffff:127.0.0.1, and
// for a moment another to that port of ::1. Another process may have that, so
// it tries a few.
func mappedBesideIPv6(kind sock.Kind) (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	for try := 1; ; try++ {
		holder, beside := open(kind, sock.IPv6), open(kind, sock.IPv6)
		Expect(holder.Set(sock.V6Only, 0)).To(Succeed())
		at := bindAny(holder, mapped)
		err := beside.Bind(sock.IPv6.Loopback(at.Port()))
		Expect(beside.Close()).To(Succeed())
		if errors.Is(err, syscall.EADDRINUSE) && try < shareTries {
			Expect(holder.Close()).To(Succeed())
			continue
		}
		Expect(err).NotTo(HaveOccurred(), "bind %s %v, while a socket is bound to %v", kind, sock.IPv6.Loopback(at.Port()), at)
		return holder, at
	}
}
