// Package names holds the checks of the names that a machine has for itself.
// Nothing is ever asked of a DNS server outside of the machine: that one would
// have been is what the checks find out.
package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("names", "Names: localhost", 60)

// patience bounds a look-up, which reads a file.
const patience = 3 * time.Second

var _ = suite.It("resolves localhost to loopback addresses only, in any letter case", check.Check{
	ID: "NAME-001", Grade: check.GradeFail,
	Source: "RFC 6761 6.3; RFC 4343 (letter case); hosts(5)",
	Needs:  []check.Need{localhostInHosts},
	Asks:   "Looks up localhost, LOCALHOST and LocalHost as programs do that read the hosts file and nsswitch.conf themselves: those in Go, and, but for nsswitch.conf, those linked with musl. Every address must be a loopback one, and no DNS server outside of the machine be needed; a question to one is noted and never sent.",
	Why:    "Programs are told to talk to localhost where nobody else is to listen. Where the name leads elsewhere, passwords and data leave the machine in the clear; where DNS decides about it, whoever answers for the network decides too, and without a network nothing starts.",
	Causes: []string{
		"/etc/hosts has no line for localhost, as on systems that leave it to a module of the C library (nss-myhostname, nss-resolve), which only programs linked with that library ask",
		"a line of /etc/hosts gives localhost an address of the network",
		"/etc/nsswitch.conf asks dns before files",
	},
	Remedies: []string{
		"have /etc/hosts say `127.0.0.1 localhost` and `::1 localhost`, and give other addresses other names",
		"have the hosts line of /etc/nsswitch.conf name files before dns",
	},
}, func(ctx SpecContext) {
	skipOnWindows()
	deadline := spec.Within(ctx, patience)
	for _, name := range []string{"localhost", "LOCALHOST", "LocalHost"} {
		a := lookUp(deadline, name)
		Expect(len(a.outside) == 0).To(BeTrueBecause("%s is asked of the DNS server %s, outside of the machine", name, strings.Join(a.outside, ", ")))
		skipUnlessSettled(name, a)
		Expect(a.err).NotTo(HaveOccurred())
		strays := slices.DeleteFunc(slices.Clone(a.addrs), netip.Addr.IsLoopback)
		Expect(strays).To(BeEmpty(), "addresses of %s that are no loopback ones", name)
		spec.Evidence(name, "%s", list(a.addrs))
	}
})

var _ = suite.It("resolves localhost to addresses that the machine has", check.Check{
	ID: "NAME-006", Grade: check.GradeFail,
	Source: "RFC 6724 6 (rule 1: avoid unusable destinations); bind(2), EADDRNOTAVAIL",
	Needs:  []check.Need{localhostInHosts},
	Asks:   "Looks up localhost in the hosts file and binds a UDP socket to each address that comes out. Where IPv6 was taken off the machine, an address of it is passed over: connections to it fail at once, and programs go on to the next.",
	Why:    "Programs try the addresses of a name in turn. One that lo does not have makes the first try of every connection fail or, where it is sent out to the network, wait; and a server that is told to listen on localhost does not start.",
	Causes: []string{
		"::1 was taken off lo, while IPv6 is on and /etc/hosts has it",
		"lo has 127.0.0.1/32 in place of 127.0.0.0/8, and /etc/hosts says 127.0.1.1",
		"lo is down, as in a network namespace that somebody made by hand",
	},
	Remedies: []string{
		"`ip link set dev lo up`, and compare `ip address show dev lo` with what /etc/hosts says of localhost",
		"`ip address add ::1/128 dev lo`, `ip address add 127.0.0.1/8 dev lo`",
	},
}, func(ctx SpecContext) {
	skipOnWindows()
	const name = "localhost"
	a := lookUp(spec.Within(ctx, patience), name)
	if len(a.outside) > 0 {
		spec.Skip(localhostInHosts, fmt.Sprintf("%s is asked of the DNS server %s", name, strings.Join(a.outside, ", ")))
	}
	skipUnlessSettled(name, a)
	if a.err != nil {
		spec.Skip(localhostInHosts, a.err.Error())
	}
	for _, addr := range a.addrs {
		if why := spec.LacksIPv6(); why != "" && addr.Is6() {
			spec.Evidence(addr.String(), "not asked: %s", why)
			continue
		}
		Expect(bind(addr)).To(Succeed(), "bind to %v, an address of %s", addr, name)
		spec.Evidence(addr.String(), "can be bound")
	}
})

func bind(addr netip.Addr) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return err
	}
	return conn.Close()
}

var localhostInHosts = check.Need{
	Name: "localhost in the hosts file",
	How:  "have /etc/hosts say `127.0.0.1 localhost` and `::1 localhost`, before anything else is asked",
}

func skipOnWindows() {
	GinkgoHelper()
	if runtime.GOOS == "windows" {
		spec.Skip(check.Need{Name: localhostInHosts.Name, How: "run it on another system"},
			"Windows answers for localhost without the file, by a way that would also ask the network")
	}
}

// skipUnlessSettled skips the spec where a resolver on this machine would have
// been asked. What it answers, systemd-resolved from its own knowledge and
// others by asking the network, is not to be had without asking it.
func skipUnlessSettled(name string, a answer) {
	GinkgoHelper()
	if len(a.inside) > 0 {
		spec.Skip(localhostInHosts, fmt.Sprintf("%s is asked of the resolver %s on this machine", name, strings.Join(a.inside, ", ")))
	}
}

// answer is what a look-up came to without a packet.
type answer struct {
	addrs []netip.Addr
	err   error
	// inside and outside are the DNS servers that would have been asked, as
	// address and port: those on this machine, and the others.
	inside, outside []string
}

var errNotAsked = errors.New("not asked, so that nothing leaves the machine")

// lookUp resolves a name by what is on the machine. In place of every question
// to a DNS server it notes which that would have been.
func lookUp(ctx context.Context, name string) answer {
	return watched(func(resolver *net.Resolver) (addrs []netip.Addr, err error) {
		addrs, err = resolver.LookupNetIP(ctx, "ip", name)
		for i := range addrs {
			addrs[i] = addrs[i].Unmap()
		}
		return addrs, err
	})
}

// watched lends a resolver that asks no DNS server and notes which it would
// have asked.
func watched(ask func(*net.Resolver) ([]netip.Addr, error)) answer {
	var a answer
	// Questions for IPv4 and IPv6 are asked side by side.
	var noting sync.Mutex
	addrs, err := ask(&net.Resolver{
		PreferGo: true,
		Dial: func(_ context.Context, _, server string) (net.Conn, error) {
			noting.Lock()
			defer noting.Unlock()
			to := &a.outside
			if isOurs(server) {
				to = &a.inside
			}
			if !slices.Contains(*to, server) {
				*to = append(*to, server)
			}
			return nil, errNotAsked
		},
	})
	// Questions may still be under way when the context has ended.
	noting.Lock()
	defer noting.Unlock()
	return answer{addrs: addrs, err: err, inside: slices.Clone(a.inside), outside: slices.Clone(a.outside)}
}

// isOurs says whether a server, given as address and port, is on this machine.
func isOurs(server string) bool {
	at, err := netip.ParseAddrPort(server)
	if err != nil {
		return false
	}
	if at.Addr().Unmap().IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == at.Addr().Unmap().WithZone("")
	})
}

func list(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, addr := range addrs {
		texts[i] = addr.String()
	}
	return strings.Join(texts, ", ")
}
