package addressing

import (
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// nextToLoopback are addresses beside ::1, which nobody is given.
var nextToLoopback = []netip.Addr{netip.MustParseAddr("::2"), netip.MustParseAddr("::3"), netip.MustParseAddr("::4")}

var _ = suite.It("has ::1 as its one loopback address of IPv6", check.Check{
	ID: "ADDR-005", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 4291 2.5.3 (::1/128); bind(2), EADDRNOTAVAIL; Documentation/networking/ip-sysctl.rst, ip_nonlocal_bind",
	Needs:  []check.Need{check.IPv6},
	Asks:   "Binds sockets to ::2, over TCP and UDP, or to the next address where the machine was given that one. It must be refused with EADDRNOTAVAIL, unless net.ipv6.ip_nonlocal_bind is set, then it must be bound.",
	Why:    "IPv4 has sixteen million loopback addresses, of which test set-ups take 127.0.0.2 and others for a second server. IPv6 has one: a program that is told to take ::2 has to fail at once, not to wait for clients that cannot reach it.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		"see the addresses and local routes of lo: `ip -6 address show dev lo`, `ip -6 route show table local`",
		"give lo further addresses where they are meant: `ip address add fd00::2/128 dev lo`",
		spec.OwnStack,
	},
}, func(SpecContext) {
	spec.NeedIPv6()
	addr := spec.Foreign(nextToLoopback...)
	setting, allowed := spec.BindsForeign(sock.IPv6)
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		err := open(kind, sock.IPv6).Bind(netip.AddrPortFrom(addr, 0))
		if allowed {
			Expect(err).To(Succeed(), "bind of a %s socket to %v, where %s", kind, addr, setting)
		} else {
			Expect(err).To(MatchError(syscall.EADDRNOTAVAIL), "bind of a %s socket to %v, where %s", kind, addr, setting)
		}
		spec.Evidence(kind.String(), "bind to %v: %s; %s", addr, outcome(err), setting)
	}
})

var _ = suite.It("refuses a link-local address without its interface", check.Check{
	ID: "ADDR-006", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 4007 6 and 11; ipv6(7), sin6_scope_id",
	Needs:  []check.Need{check.IPv6},
	Asks:   "Gives sockets the address fe80::1 without a scope: bind, over TCP and UDP, and connect of a UDP socket, which sends nothing. All must be refused with EINVAL.",
	Why:    "A link-local address means another machine on each interface. A program that leaves the interface out (`http://[fe80::1]/`) has to be told, as curl and browsers then say: on a machine with several networks it would reach whoever is on the first.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		"name the interface: fe80::1%eth0",
		spec.OwnStack,
		spec.ListGroupPrograms,
	},
}, func(SpecContext) {
	spec.NeedIPv6()
	// The discard port: were the call to go through, nothing would come of it.
	const discard = 9
	addr := netip.MustParseAddr("fe80::1")
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		Expect(open(kind, sock.IPv6).Bind(netip.AddrPortFrom(addr, 0))).To(MatchError(syscall.EINVAL), "bind of a %s socket to %v without a scope", kind, addr)
	}
	Expect(open(sock.UDP, sock.IPv6).StartConnect(netip.AddrPortFrom(addr, discard))).To(MatchError(syscall.EINVAL), "connect of a udp socket to %v without a scope", addr)
	spec.Evidence("without a scope", "bind and connect to %v: %s", addr, syscall.EINVAL)
})
