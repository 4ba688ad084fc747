package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("resolves localhost to an IPv4 address among others", check.Check{
	ID: "NAME-008", Grade: check.GradeWarn,
	Source: "hosts(5); RFC 6724 2 (a client tries the addresses of a name in turn, and only those); RFC 1122 3.2.1.3 (127/8)",
	Needs:  []check.Need{localhostInHosts, ipv4Loopback},
	Asks:   "Looks up localhost in the hosts file, as programs do that read it themselves, and looks for an IPv4 address among what comes out.",
	Why:    "Most services of a machine listen on 127.0.0.1 alone. With ::1 as the only address of localhost, programs in Go and those linked with musl are refused by all of them, while those linked with glibc, which takes ::1 for 127.0.0.1 where it is asked for IPv4, go on working: the same name works in one program and not in the next.",
	Causes: []string{
		"the line of 127.0.0.1 was taken out of /etc/hosts, or its name changed",
		"a tool wrote /etc/hosts anew with what it knew, as container builds and cloud-init templates do",
	},
	Remedies: []string{"have /etc/hosts say `127.0.0.1 localhost` beside `::1 localhost`"},
}, func(ctx SpecContext) {
	skipOnWindows()
	if err := bind(netip.AddrFrom4([4]byte{127, 0, 0, 1})); err != nil {
		spec.Skip(ipv4Loopback, err.Error())
	}
	const name = "localhost"
	a := lookUp(spec.Within(ctx, patience), name)
	if len(a.outside) > 0 {
		spec.Skip(localhostInHosts, fmt.Sprintf("%s is asked of the DNS server %s", name, strings.Join(a.outside, ", ")))
	}
	skipUnlessSettled(name, a)
	if a.err != nil {
		spec.Skip(localhostInHosts, a.err.Error())
	}
	Expect(slices.ContainsFunc(a.addrs, netip.Addr.Is4)).To(BeTrueBecause("%s has no IPv4 address: it is %s", name, list(a.addrs)))
	spec.Evidence(name, "%s", list(a.addrs))
})

var ipv4Loopback = check.Need{Name: "IPv4 loopback", How: "give lo its address again: `ip address add 127.0.0.1/8 dev lo`"}
