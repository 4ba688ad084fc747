package ports

import (
	"fmt"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("gives a socket with IP_BIND_ADDRESS_NO_PORT its port at connect, not at bind", check.Check{
	ID: "PORT-006", Grade: check.GradeFail, OS: "linux",
	Source: "ip(7), IP_BIND_ADDRESS_NO_PORT",
	Asks:   "Binds a socket with the option to port 0 of the loopback address, over TCP and UDP, IPv4 and IPv6: its port must still be 0. Then it connects to a peer: the address must stay, and the port be another than 0.",
	Why:    "A port that is taken at bind serves one connection; one that is taken at connect serves one for each destination. Proxies with several source addresses (HAProxy, nginx, Envoy) set the option, and run out of ports at 28,000 connections in all where it does nothing.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		exhaustedSettings,
	},
}, func(ctx SpecContext) {
	for _, family := range families() {
		for _, kind := range kinds {
			deadline := spec.Within(ctx, patience)
			what := fmt.Sprintf("%s over %s", kind, family)
			_, peer := peerOf(kind, family)
			s := open(kind, family)
			skipWithout(s.Set(sock.BindAddressNoPort, 1), "IP_BIND_ADDRESS_NO_PORT", "run it on Linux 4.2 or later")
			Expect(s.Bind(family.Loopback(0))).To(Succeed())
			Expect(s.LocalAddr()).To(Equal(family.Loopback(0)), "the address of %s after bind with IP_BIND_ADDRESS_NO_PORT", what)
			spec.Flow(kind.String(), family.Loopback(0))
			Expect(connectBriefly(deadline, s, kind, peer)).To(Succeed(), "connect of %s after bind with IP_BIND_ADDRESS_NO_PORT", what)
			own, err := s.LocalAddr()
			Expect(err).NotTo(HaveOccurred())
			Expect(own.Addr()).To(Equal(family.Loopback(0).Addr()), "the address of %s after connect to %v", what, peer)
			Expect(own.Port()).NotTo(BeZero(), "the port of %s after connect to %v", what, peer)
			spec.Evidence(what, "port 0 after bind, %v after connect", own)
		}
	}
})

var _ = suite.It("keeps the port of a connected socket from being bound", check.Check{
	ID: "PORT-012", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2), EADDRINUSE; gVisor, V4EphemeralPortReserved and V6EphemeralPortReserved",
	Needs:  []check.Need{check.BindToDevice},
	Asks:   "Connects a socket that was not bound to a peer on the loopback address, so that connect gives it an ephemeral port, over TCP and UDP, IPv4 and IPv6. Binding its address and port, or the wildcard address with that port, must be refused with EADDRINUSE. Nothing listens, and UDP sockets on a wildcard address are bound to lo.",
	Why:    "A server that was given the port of a running connection would be sent what belongs to it, or start and never be reached. The error is what has it choose another port; why one sometimes cannot start on a port of the ephemeral range is explained by it, too.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		"keep ports of servers out of the range that clients are given: `sysctl -w net.ipv4.ip_local_reserved_ports=PORT`",
	},
}, func(ctx SpecContext) {
	for _, family := range families() {
		for _, kind := range kinds {
			deadline := spec.Within(ctx, patience)
			_, peer := peerOf(kind, family)
			client := open(kind, family)
			spec.Flow(kind.String(), family.Loopback(0))
			Expect(connectBriefly(deadline, client, kind, peer)).To(Succeed())
			own, err := client.LocalAddr()
			Expect(err).NotTo(HaveOccurred())
			for _, addr := range []netip.Addr{own.Addr(), wildcard(family)} {
				latecomer := quiet(kind, family, addr)
				at := netip.AddrPortFrom(addr, own.Port())
				Expect(latecomer.Bind(at)).To(MatchError(syscall.EADDRINUSE), "bind %s %v while a connection from %v to %v is open", kind, at, own, peer)
				Expect(latecomer.Close()).To(Succeed())
			}
			spec.Evidence(fmt.Sprintf("%s over %s", kind, family), "%v is connected; binding it, or %v with its port: %s", own, wildcard(family), syscall.EADDRINUSE)
		}
	}
})
