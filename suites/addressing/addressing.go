// Package addressing holds the checks of the addresses that a machine talks to
// itself by: the two families side by side, the loopback interface, and what
// keeps it apart from the other interfaces.
package addressing

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("addressing", "Addressing: families, lo and its isolation", 50)

// patience bounds a handful of segments or datagrams. They take microseconds;
// the rest is for one lost SYN, which is sent again after a second (RFC 6298),
// and for a machine whose processors are busy elsewhere.
const patience = 3 * time.Second

// open returns a fresh socket that is closed with the spec.
func open(kind sock.Kind, family sock.Family) *sock.Socket {
	GinkgoHelper()
	s, err := sock.New(kind, family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	return s
}

// bindAny binds a socket to a free port of the address and returns both.
func bindAny(s *sock.Socket, addr netip.Addr) netip.AddrPort {
	GinkgoHelper()
	Expect(s.Bind(netip.AddrPortFrom(addr, 0))).To(Succeed())
	bound, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return bound
}

// connectFrom opens a connection and returns the client's own address. The
// client aborts it when the spec ends, so that no port stays in TIME_WAIT.
func connectFrom(ctx context.Context, family sock.Family, to netip.AddrPort, what string) netip.AddrPort {
	GinkgoHelper()
	client := open(sock.TCP, family)
	Expect(client.SetLinger(0)).To(Succeed())
	Expect(client.Connect(ctx, to)).To(Succeed(), "%s", what)
	from, err := client.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return from
}

// expectRefused asks for a connection that must be answered with RST.
func expectRefused(ctx context.Context, family sock.Family, to netip.AddrPort, what string) {
	GinkgoHelper()
	client := open(sock.TCP, family)
	Expect(client.SetLinger(0)).To(Succeed())
	Expect(client.Connect(ctx, to)).To(MatchError(syscall.ECONNREFUSED), "%s", what)
}

// onePort binds a socket to a free port of the first address, and another to
// the same port of the second, where it stays closed to everyone unless it
// listens. Another process may have that port of the second, so it tries a few.
func onePort(first, second netip.Addr) (a, b *sock.Socket, port uint16) {
	GinkgoHelper()
	const tries = 8
	for try := 1; ; try++ {
		a, b = open(sock.TCP, familyOf(first)), open(sock.TCP, familyOf(second))
		port = bindAny(a, first).Port()
		err := b.Bind(netip.AddrPortFrom(second, port))
		if err == nil {
			return a, b, port
		}
		if !errors.Is(err, syscall.EADDRINUSE) || try == tries {
			Expect(err).NotTo(HaveOccurred(), "%s", fmt.Sprintf("try %d of %d to bind one port of %v and %v", try, tries, first, second))
		}
	}
}

func familyOf(addr netip.Addr) sock.Family {
	if addr.Is4() {
		return sock.IPv4
	}
	return sock.IPv6
}

// wildcard is the address that stands for all of the family's.
func wildcard(family sock.Family) netip.Addr {
	if family == sock.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func loopback(family sock.Family) netip.Addr { return family.Loopback(0).Addr() }
