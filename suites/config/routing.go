package config

import (
	"errors"
	"io/fs"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/routing"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("routes what is sent to loopback addresses to the machine itself, before any other rule", check.Check{
	ID: "CFG-002", Grade: check.GradeAdvice, OS: "linux",
	Source: "ip-rule(8), rule 0; ip-route(8), table local; RFC 1122 3.2.1.3; RFC 4291 2.5.3",
	Asks:   "Reads the routing rules and the local table over rtnetlink, for IPv4 and, where lo has ::1, for IPv6. The local table must be looked up before the main one, no rule before it may refuse what this user sends over loopback, and the table must hold the routes that the kernel made with lo's addresses: no other source, no MTU of their own, nothing that refuses.",
	Why:    "With one rule before the local table, or one route less in it, localhost leaves by the default route, or is refused for one user, one mark or one port. Addresses and interfaces then look right, and nobody looks at rules.",
	Causes: []string{
		"a VPN, a policy-routing script or a container network put its rules before the local one",
		"a route of the local table was replaced by hand",
	},
	Remedies: []string{
		"look with `ip rule`, `ip -6 rule` and `ip route show table local`",
		"`ip rule add pref 0 lookup local`, and `ip rule del pref N` for a rule that refuses",
	},
}, func(SpecContext) {
	problems, err := routing.Examine()
	if errors.Is(err, fs.ErrPermission) {
		spec.Skip(netlinkSocket, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	var said []string
	for _, p := range problems {
		said = append(said, p.String())
	}
	Expect(len(said) == 0).To(BeTrueBecause("%s", strings.Join(said, "; ")))
	spec.Evidence("routing", "the local table is looked up first and holds the routes of lo's addresses")
})
