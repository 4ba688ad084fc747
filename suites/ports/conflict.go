package ports

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("keeps a port for the address it was bound to, and of a wildcard for all", check.Check{
	ID: "PORT-008", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2), EADDRINUSE; ip(7), INADDR_ANY; tools/testing/selftests/net/bind_wildcard.c of the kernel",
	Needs:  []check.Need{check.BindToDevice},
	Asks:   "Binds a port of 127.0.0.1, and of ::1 where there is IPv6: the wildcard address with the same port must be refused with EADDRINUSE, and the other way round. The same port of 127.0.0.2, of the other protocol and of the other family's loopback address must stay free to bind. Nothing listens, and UDP sockets on a wildcard address are bound to lo.",
	Why:    "It keeps two servers from answering on one port, where clients would reach the one or the other by chance. And it lets one port serve DNS over TCP and UDP, or a different program on each loopback address, as local resolvers and test set-ups do.",
	Causes: []string{
		"lo lacks the network 127.0.0.0/8, so that 127.0.0.2 is no address of the machine",
		"a user-space stack or sandbox (gVisor, WSL 1) that resolves conflicts in another way",
		"an eBPF program at the cgroup's bind hook rewrites the address or refuses the call",
	},
	Remedies: []string{
		"`ip address show dev lo`; give it its network back with `ip address add 127.0.0.1/8 dev lo`",
		"list the programs at the hook: `bpftool cgroup tree`",
	},
}, func(SpecContext) {
	families := families()
	for _, family := range families {
		for _, kind := range kinds {
			specific := expectConflict(kind, family, family.Loopback(0).Addr(), wildcard(family))
			general := expectConflict(kind, family, wildcard(family), family.Loopback(0).Addr())
			spec.Evidence(fmt.Sprintf("%s over %s", kind, family), "%v keeps %v out, %v keeps %v out: %s",
				specific, wildcard(family), general, family.Loopback(0).Addr(), syscall.EADDRINUSE)

			with := neighbours(kind, family, families)
			shared, err := share(kind, family, with)
			Expect(err).NotTo(HaveOccurred(), "sharing a port of %s %v", kind, family.Loopback(0).Addr())
			spec.Evidence(fmt.Sprintf("%s %v", kind, shared), "the same port was given to %s", list(with))
		}
	}
})

// expectConflict binds a free port of the first address, and expects that it
// cannot be bound on the other then.
func expectConflict(kind sock.Kind, family sock.Family, first, other netip.Addr) netip.AddrPort {
	GinkgoHelper()
	holder := quiet(kind, family, first)
	defer holder.Close()
	Expect(holder.Bind(netip.AddrPortFrom(first, 0))).To(Succeed())
	taken, err := holder.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	latecomer := quiet(kind, family, other)
	defer latecomer.Close()
	Expect(latecomer.Bind(netip.AddrPortFrom(other, taken.Port()))).To(
		MatchError(syscall.EADDRINUSE), "bind %s %v while %v is bound", kind, netip.AddrPortFrom(other, taken.Port()), taken)
	return taken
}

// quiet returns a socket for the address that nothing from outside the machine
// reaches. One of TCP does not listen.
func quiet(kind sock.Kind, family sock.Family, addr netip.Addr) *sock.Socket {
	GinkgoHelper()
	s := open(kind, family)
	if kind == sock.UDP && addr.IsUnspecified() {
		spec.BindToLo(s)
	}
	return s
}

func wildcard(family sock.Family) netip.Addr {
	if family == sock.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// neighbour is a binding that the same port of another leaves free.
type neighbour struct {
	kind   sock.Kind
	family sock.Family
	addr   netip.Addr
}

func (n neighbour) String() string { return fmt.Sprintf("%s %v", n.kind, n.addr) }

func list(all []neighbour) string {
	texts := make([]string, len(all))
	for i, n := range all {
		texts[i] = n.String()
	}
	return strings.Join(texts, ", ")
}

func neighbours(kind sock.Kind, family sock.Family, families []sock.Family) []neighbour {
	loopback := func(f sock.Family) netip.Addr { return f.Loopback(0).Addr() }
	var all []neighbour
	for _, other := range kinds {
		if other != kind {
			all = append(all, neighbour{other, family, loopback(family)})
		}
	}
	for _, other := range families {
		if other != family {
			all = append(all, neighbour{kind, other, loopback(other)})
		}
	}
	if family == sock.IPv4 {
		all = append(all, neighbour{kind, family, loopback(family).Next()})
	}
	return all
}

// share binds a port and has its neighbours bind the same one. Another process
// may have that port of a neighbour, so it asks again with a few ports more.
func share(kind sock.Kind, family sock.Family, with []neighbour) (netip.AddrPort, error) {
	const tries = 8
	for try := 1; ; try++ {
		shared, err := shareOnce(kind, family, with)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return shared, err
		}
		if try == tries {
			return shared, fmt.Errorf("%d ports were all taken: %w", tries, err)
		}
	}
}

func shareOnce(kind sock.Kind, family sock.Family, with []neighbour) (netip.AddrPort, error) {
	holder, err := sock.New(kind, family)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer holder.Close()
	if err := holder.Bind(family.Loopback(0)); err != nil {
		return netip.AddrPort{}, err
	}
	shared, err := holder.LocalAddr()
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, n := range with {
		s, err := sock.New(n.kind, n.family)
		if err != nil {
			return shared, err
		}
		defer s.Close()
		if err := s.Bind(netip.AddrPortFrom(n.addr, shared.Port())); err != nil {
			return shared, fmt.Errorf("while %s %v is bound: %w", kind, shared, err)
		}
	}
	return shared, nil
}

var _ = suite.It("lets one of the sockets that share a port with SO_REUSEADDR listen, and no second", check.Check{
	ID: "PORT-009", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_REUSEADDR; listen(2), EADDRINUSE",
	Asks:   "Binds two TCP sockets with SO_REUSEADDR to one port of 127.0.0.1, which must succeed while neither listens. The first may listen; the second must get EADDRINUSE from listen, and a third from bind.",
	Why:    "Nearly every server sets the option, to start again while old connections are in TIME_WAIT. Were a second listener let in, another program could take a server's connections away unseen, as it can on Windows.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) that takes SO_REUSEADDR for SO_REUSEPORT",
		"a kernel patch or a library put before the program (LD_PRELOAD) that sets SO_REUSEPORT as well",
	},
	Remedies: []string{
		"run the program on the kernel's own stack",
	},
}, func(SpecContext) {
	first, second, third := reusing(), reusing(), reusing()
	Expect(first.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	addr, err := first.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	Expect(second.Bind(addr)).To(Succeed(), "the second socket with SO_REUSEADDR, while the first does not listen")
	Expect(first.Listen(1)).To(Succeed(), "the first socket with SO_REUSEADDR on %v", addr)
	Expect(second.Listen(1)).To(MatchError(syscall.EADDRINUSE), "the second listener with SO_REUSEADDR on %v", addr)
	Expect(third.Bind(addr)).To(MatchError(syscall.EADDRINUSE), "a third socket with SO_REUSEADDR, while the first listens on %v", addr)
	spec.Evidence("second listener", "listen on %v, which another socket listens on: %s", addr, syscall.EADDRINUSE)
})

func reusing() *sock.Socket {
	GinkgoHelper()
	s := open(sock.TCP, sock.IPv4)
	Expect(s.SetReuseAddr()).To(Succeed())
	return s
}
