// Package udp holds the checks of UDP over loopback: what a datagram may be,
// what becomes of it, and what its sender is told.
package udp

import (
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("udp", "UDP: datagrams", 30)

const (
	// patience bounds one datagram, which takes microseconds. The rest is for
	// a machine whose processors are busy elsewhere.
	patience = 2 * time.Second
	// transferPatience bounds 2,000 datagrams. It ends before the check's own
	// deadline, so that the failure tells how far it came.
	transferPatience = 8 * time.Second
)

// pair returns two sockets on the family's loopback address that are connected
// to each other, so that neither receives what somebody else sends.
func pair(family sock.Family) (sender, receiver *sock.Socket) {
	GinkgoHelper()
	sender, receiver, to := halfPair(family)
	Expect(sender.StartConnect(to)).To(Succeed(), "connect the sender to the receiver at %v", to)
	return sender, receiver
}

// halfPair returns two sockets of which the receiver, whose address it returns
// as well, is connected to the sender.
func halfPair(family sock.Family) (sender, receiver *sock.Socket, to netip.AddrPort) {
	GinkgoHelper()
	sender, from := bound(family)
	receiver, to = bound(family)
	spec.Flow("udp", family.Loopback(0))
	Expect(receiver.StartConnect(from)).To(Succeed(), "connect the receiver at %v to the sender", to)
	return sender, receiver, to
}

// bound returns a socket on a free port of the family's loopback address.
func bound(family sock.Family) (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	s, err := sock.New(sock.UDP, family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	Expect(s.Bind(family.Loopback(0))).To(Succeed())
	addr, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return s, addr
}
