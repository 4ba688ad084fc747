package ports

import (
	"context"
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

const (
	// narrowRounds is how often each way of choosing a port is asked, so that a
	// stack that goes by another range does not pass by chance.
	narrowRounds = 2
	// narrowTries is how often somebody else may take the port first.
	narrowTries = 8
)

var _ = suite.It("chooses from the range that IP_LOCAL_PORT_RANGE gives a socket", check.Check{
	ID: "PORT-005", Grade: check.GradeFail, OS: "linux",
	Source: "ip(7), IP_LOCAL_PORT_RANGE; tools/testing/selftests/net/ip_local_port_range.c of the kernel",
	Asks:   "Finds a free port of the ephemeral range and gives a new socket a range of this port alone, twice for each of TCP and UDP, IPv4 and IPv6, bind and connect. The port chosen must be that one.",
	Why:    "Address translators, service meshes and large egress proxies give each tenant or worker a part of the ports by it. Where the option does nothing, flows leave from ports that rules give to somebody else.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
	},
}, func(ctx SpecContext) {
	for _, family := range families() {
		for _, kind := range kinds {
			deadline := spec.Within(ctx, patience)
			spec.Flow(kind.String(), family.Loopback(0))
			for range narrowRounds {
				expectNarrowed(kind, family, "bind", func(s *sock.Socket) error { return s.Bind(family.Loopback(0)) })
				// The peer has its port before one that is free is looked for.
				peer, addr := peerOf(kind, family)
				expectNarrowed(kind, family, "connect", func(s *sock.Socket) error { return connectBriefly(deadline, s, kind, addr) })
				Expect(peer.Close()).To(Succeed())
			}
			spec.Evidence(fmt.Sprintf("%s over %s", kind, family), "bind and connect chose the one port of the range, %d times each", narrowRounds)
		}
	}
})

// expectNarrowed has a socket choose from a range of one port that is free.
func expectNarrowed(kind sock.Kind, family sock.Family, by string, choose func(*sock.Socket) error) {
	GinkgoHelper()
	for try := 1; ; try++ {
		port := boundPort(kind, family, "find a free port")
		s := open(kind, family)
		skipWithout(s.Set(sock.LocalPortRange, int(port)<<16|int(port)), "IP_LOCAL_PORT_RANGE", "run it on Linux 6.3 or later")
		err := choose(s)
		if noneLeft(err) && try < narrowTries {
			Expect(s.Close()).To(Succeed())
			continue // somebody else was given it meanwhile
		}
		what := fmt.Sprintf("%s of %s over %s with IP_LOCAL_PORT_RANGE %d to %d", by, kind, family, port, port)
		Expect(err).NotTo(HaveOccurred(), "%s", what)
		Expect(ownPort(s)).To(Equal(port), "the port chosen by %s", what)
		Expect(s.Close()).To(Succeed())
		return
	}
}

// noneLeft says whether a call that chooses a port found none that is free.
func noneLeft(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAGAIN)
}

// peerOf returns a socket that can be connected to.
func peerOf(kind sock.Kind, family sock.Family) (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	peer, _ := bound(kind, family)
	if kind == sock.TCP {
		Expect(peer.Listen(1)).To(Succeed())
	}
	addr, err := peer.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return peer, addr
}

// connectBriefly connects a socket that leaves nothing behind when it is closed.
func connectBriefly(ctx context.Context, s *sock.Socket, kind sock.Kind, to netip.AddrPort) error {
	if kind == sock.TCP {
		// Closing in the ordinary way would keep the port in TIME_WAIT.
		if err := s.SetLinger(0); err != nil {
			return err
		}
	}
	return s.Connect(ctx, to)
}

// skipWithout skips the spec where the kernel does not know an option that was
// set.
func skipWithout(err error, name, how string) {
	GinkgoHelper()
	if errors.Is(err, syscall.ENOPROTOOPT) {
		spec.Skip(check.Need{Name: name, How: how}, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
}
