package addressing

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// anotherAddress is the need of a check that compares lo with the rest.
var anotherAddress = check.Need{
	Name: "another address",
	How:  "connect the machine to a network, or give an interface that is up an address: `ip address add 192.0.2.1/32 dev eth0`",
}

// routePatience is how long the local route of an address may take to appear.
// The kernel adds that of an IPv6 address a moment after the address.
const routePatience = time.Second

const (
	// What is sent to the other address is so much that lo's counter shows it
	// beside what else the machine says to itself.
	datagrams     = 64
	datagramBytes = 16 << 10
)

var _ = suite.It("carries what it sends to its own other address over lo, past listeners bound to lo", check.Check{
	ID: "ADDR-014", Grade: check.GradeWarn, OS: "linux",
	Source: "linux",
	Needs:  []check.Need{anotherAddress, check.BindToDevice},
	Asks:   "Takes an address that the machine has on another interface, asks the kernel for the route to it, which must be local and through lo, and sends 1 MiB of datagrams from it to itself, by which lo's counter must grow. A connection to it must be refused by a listener that SO_BINDTODEVICE binds to lo: sockets see the interface that has the address.",
	Why:    "Rules that match lo decide about such traffic, and rules for the network card never see it: a firewall that is tested from the machine itself is not tested. And a server bound to the device lo is out of reach by every name of the machine but localhost.",
	Causes: []string{
		"a rule or route comes before the local table, so that the machine's own address is looked for elsewhere",
		"a firewall drops what comes in over lo and is not for 127.0.0.0/8",
		"a firewall redirects the machine's connections to its own address to 127.0.0.1",
	},
	Remedies: []string{
		"compare `ip rule` with the default, in which the local table comes first, at 0, and see the route with `ip route get ADDRESS`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	own := other(ctx)
	deadline := spec.Within(ctx, patience)
	spec.Flow("udp", netip.AddrPortFrom(own.Addr, 0))
	before, err := iface.Loopback()
	Expect(err).NotTo(HaveOccurred())
	Expect(sendToSelf(deadline, own.Addr)).To(Succeed(), "%d datagrams from %v to itself", datagrams, own.Addr)
	after, err := iface.Loopback()
	Expect(err).NotTo(HaveOccurred())
	grown := after.SentBytes - before.SentBytes
	Expect(grown).To(BeNumerically(">=", datagrams*datagramBytes), "bytes that lo counted, while as many went from %v to itself", own)

	family := familyOf(own.Addr)
	listener := open(sock.TCP, family)
	spec.BindToLo(listener)
	at := bindAny(listener, wildcard(family))
	Expect(listener.Listen(1)).To(Succeed())
	spec.Flow("tcp", family.Loopback(0))
	connectFrom(deadline, family, family.Loopback(at.Port()), "to the listener bound to lo")
	spec.Flow("tcp", netip.AddrPortFrom(own.Addr, 0))
	expectRefused(deadline, family, netip.AddrPortFrom(own.Addr, at.Port()), fmt.Sprintf("a connection to %v, while a listener bound to device lo has the port", own))
	spec.Evidence("other address", "%v: %d bytes sent to it, lo counted %d; listener bound to lo: %s", own, datagrams*datagramBytes, grown, syscall.ECONNREFUSED)
})

var _ = suite.It("refuses at its other address what is served on the loopback address alone", check.Check{
	ID: "ADDR-015", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2); ip(7), INADDR_LOOPBACK; RFC 9293 3.10.7.1 (a segment to a closed port is answered with RST)",
	Needs:  []check.Need{anotherAddress},
	Asks:   "Listens on a port of 127.0.0.1, or of ::1 where the machine's other address is one of IPv6, and connects to the same port of an address that the machine has on another interface. The first must answer there, the second refuse.",
	Why:    "Databases, admin pages and debuggers are put on 127.0.0.1 to be reached by nobody else. Were they answered at the machine's other address, its neighbours would be let in by the same way.",
	Causes: []string{
		"a firewall redirects or translates connections to the machine's address to 127.0.0.1 (redirect, DNAT)",
		"a port forwarder or proxy (docker-proxy, socat, kube-proxy, an eBPF program at sk_lookup) passes them on",
		"a firewall drops the SYN or the RST that answers it",
	},
	Remedies: []string{
		"look for redirect and dnat in `nft list ruleset`, or for REDIRECT and DNAT in `iptables -t nat -vnL`",
		"see who listens on the port: `ss -tlnp`; list programs with `bpftool net`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	own := other(ctx)
	deadline := spec.Within(ctx, patience)
	family := familyOf(own.Addr)
	listener, _, port := onePort(loopback(family), own.Addr)
	Expect(listener.Listen(1)).To(Succeed())
	at := family.Loopback(port)
	spec.Flow("tcp", family.Loopback(0))
	connectFrom(deadline, family, at, fmt.Sprintf("to the listener at %v", at))
	spec.Flow("tcp", netip.AddrPortFrom(own.Addr, 0))
	expectRefused(deadline, family, netip.AddrPortFrom(own.Addr, port), fmt.Sprintf("a connection to %v, while only %v listens", own, at))
	spec.Evidence("other address", "the listener at %v answered there; at %v: %s", at, own, syscall.ECONNREFUSED)
})

// other returns an address of the machine that lo does not have, or skips the
// spec. Where a packet to it would leave the machine, the spec fails before one
// is sent.
func other(ctx context.Context) iface.Own {
	GinkgoHelper()
	others, err := iface.Others()
	Expect(err).NotTo(HaveOccurred())
	if len(others) == 0 {
		spec.Skip(anotherAddress, "no other interface that is up has one")
	}
	own := others[0]
	Eventually(iface.RouteTo).WithArguments(own.Addr).WithContext(ctx).WithTimeout(routePatience).
		Should(Equal(iface.Route{Local: true, Interface: "lo"}), "the route to %v", own)
	return own
}

// sendToSelf sends datagrams from a socket to itself, one at a time. The socket
// is connected to itself, so that it hears nobody else.
func sendToSelf(ctx context.Context, addr netip.Addr) error {
	s, err := sock.New(sock.UDP, familyOf(addr))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Bind(netip.AddrPortFrom(addr, 0)); err != nil {
		return err
	}
	self, err := s.LocalAddr()
	if err != nil {
		return err
	}
	if err := s.StartConnect(self); err != nil {
		return err
	}
	received := make([]byte, datagramBytes+1)
	for n := range datagrams {
		sent := bytes.Repeat([]byte{byte(n)}, datagramBytes)
		if _, err := s.Send(ctx, sent, 0); err != nil {
			return fmt.Errorf("datagram %d: %w", n+1, err)
		}
		length, err := s.Recv(ctx, received, 0)
		if err != nil {
			return fmt.Errorf("datagram %d: %w", n+1, err)
		}
		if !bytes.Equal(received[:length], sent) {
			return fmt.Errorf("datagram %d: %d bytes arrived that were not sent so", n+1, length)
		}
	}
	return nil
}
