// Package ports holds the checks of port numbers over loopback: which ones the
// kernel chooses, who may take one, and who stands in whose way.
package ports

import (
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("ports", "Ports: ranges, privileges, conflicts", 40)

// patience bounds a handful of segments or datagrams. They take microseconds;
// the rest is for one lost SYN, which is sent again after a second (RFC 6298),
// and for a machine whose processors are busy elsewhere.
const patience = 3 * time.Second

// kinds are the protocols that have ports.
var kinds = []sock.Kind{sock.TCP, sock.UDP}

// families are those that the machine has on loopback. Where IPv6 was taken off
// it, the report says that it was not asked.
func families() []sock.Family {
	GinkgoHelper()
	if why := spec.LacksIPv6(); why != "" {
		spec.Evidence("IPv6", "not asked: %s", why)
		return []sock.Family{sock.IPv4}
	}
	return []sock.Family{sock.IPv4, sock.IPv6}
}

// open returns a fresh socket that is closed with the spec.
func open(kind sock.Kind, family sock.Family) *sock.Socket {
	GinkgoHelper()
	s, err := sock.New(kind, family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	return s
}

// bound returns a socket on a port of the family's loopback address that was
// free.
func bound(kind sock.Kind, family sock.Family) (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	s := open(kind, family)
	Expect(s.Bind(family.Loopback(0))).To(Succeed())
	addr, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return s, addr
}
