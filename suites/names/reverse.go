package names

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("knows a name for 127.0.0.1 without asking anybody", check.Check{
	ID: "NAME-007", Grade: check.GradeFail,
	Source: "RFC 6303 4.2 (127.in-addr.arpa is answered locally); RFC 1912 4.1; hosts(5)",
	Needs:  []check.Need{localhostInHosts},
	Asks:   "Looks up the name of 127.0.0.1 as programs do that read the hosts file and nsswitch.conf themselves. A name must come out, and no DNS server outside of the machine be needed; a question to one is noted and never sent.",
	Why:    "Servers look up who connects, for their logs and access rules: sshd, PostgreSQL, mail servers, sudo. Where 127.0.0.1 is asked of DNS, each local connection waits for it, for ten seconds where the server is gone, and rules for localhost do not match.",
	Causes: []string{
		"/etc/hosts has no line for 127.0.0.1, or only ::1 for localhost",
		"/etc/nsswitch.conf asks dns before files",
	},
	Remedies: []string{
		"have /etc/hosts say `127.0.0.1 localhost`",
		"have the hosts line of /etc/nsswitch.conf name files before dns",
	},
}, func(ctx SpecContext) {
	skipOnWindows()
	const addr = "127.0.0.1"
	deadline := spec.Within(ctx, patience)
	var found []string
	a := watched(func(resolver *net.Resolver) (_ []netip.Addr, err error) {
		found, err = resolver.LookupAddr(deadline, addr)
		return nil, err
	})
	skipUnlessSettled(addr, a)
	if a.err != nil {
		// A machine may choose another of its addresses for localhost.
		others := slices.DeleteFunc(lookUp(deadline, "localhost").addrs, func(other netip.Addr) bool { return !other.Is4() || !other.IsLoopback() })
		if len(others) > 0 && !slices.Contains(others, netip.MustParseAddr(addr)) {
			spec.Skip(localhostInHosts, fmt.Sprintf("localhost is %s here, and %s has no name", list(others), addr))
		}
	}
	Expect(len(a.outside) == 0).To(BeTrueBecause("the name of %s is asked of the DNS server %s, outside of the machine", addr, strings.Join(a.outside, ", ")))
	Expect(a.err).NotTo(HaveOccurred())
	Expect(found).NotTo(BeEmpty(), "names of %s", addr)
	spec.Evidence(addr, "%s", strings.Join(found, ", "))
})
