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

// foreign are addresses for documentation, which nobody has (RFC 5737, RFC 3849).
var foreign = map[sock.Family][]netip.Addr{
	sock.IPv4: {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")},
	sock.IPv6: {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:7::1")},
}

var _ = suite.It("binds a socket once, to an address of the machine, or to any with IP_FREEBIND", check.Check{
	ID: "PORT-011", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2), EINVAL and EADDRNOTAVAIL; ip(7), IP_FREEBIND; Documentation/networking/ip-sysctl.rst, ip_nonlocal_bind",
	Asks:   "Binds a socket to the loopback address, over TCP and UDP, IPv4 and IPv6, and once more: EINVAL. Binds another to an address that the machine does not have: EADDRNOTAVAIL, unless ip_nonlocal_bind is set, then it must be bound. With IP_FREEBIND it must be bound in any case. Nothing listens, and nothing is sent.",
	Why:    "A server that starts before its address is there has to fail, so that it is started again, or wait for it with IP_FREEBIND, as keepalived, HAProxy and systemd (FreeBind=) do for an address that moves between machines. Where it binds without having the address it seems to run, and nobody reaches it.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
	},
}, func(SpecContext) {
	for _, family := range families() {
		addr := spec.Foreign(foreign[family]...)
		at := netip.AddrPortFrom(addr, 0)
		setting, allowed := spec.BindsForeign(family)
		for _, kind := range kinds {
			what := fmt.Sprintf("%s over %s", kind, family)
			twice, first := bound(kind, family)
			Expect(twice.Bind(family.Loopback(0))).To(MatchError(syscall.EINVAL), "the second bind of a socket of %s that is bound to %v", what, first)

			plain := open(kind, family).Bind(at)
			if allowed {
				Expect(plain).To(Succeed(), "bind to %v, which is not the machine's, where %s", addr, setting)
			} else {
				Expect(plain).To(MatchError(syscall.EADDRNOTAVAIL), "bind of %s to %v, which is not the machine's, where %s", what, addr, setting)
			}

			free := open(kind, family)
			Expect(free.Set(sock.FreeBind, 1)).To(Succeed())
			Expect(free.Bind(at)).To(Succeed(), "bind of %s to %v, which is not the machine's, with IP_FREEBIND", what, addr)
			own, err := free.LocalAddr()
			Expect(err).NotTo(HaveOccurred())
			Expect(own.Addr()).To(Equal(addr), "the address of %s after bind with IP_FREEBIND", what)
			spec.Evidence(what, "twice: %s; %v: %s (%s); with IP_FREEBIND: %v", syscall.EINVAL, addr, bindResult(plain), setting, own)
		}
	}
})

// bindResult is the kernel's own word on a bind.
func bindResult(err error) string {
	if err == nil {
		return "bound"
	}
	return syscall.EADDRNOTAVAIL.Error()
}
