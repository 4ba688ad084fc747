package config

import (
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// fullest is the share of the table of tracked connections that may be in use:
// beyond it a burst fills it, and new connections are dropped.
const fullest = 0.9

var _ = suite.It("has room in the table of tracked connections", check.Check{
	ID: "CFG-005", Grade: check.GradeAdvice, OS: "linux",
	Source: "Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_count and nf_conntrack_max",
	Asks:   "Reads how many connections netfilter tracks in this network namespace and how many it may. More than nine in ten is told.",
	Why:    "When the table is full every new connection is dropped, those over loopback too, while those that stand go on. The machine looks healthy, health checks over kept connections pass, and clients time out.",
	Causes: []string{
		"many short connections whose entries wait for their timeouts",
		"a table of the size for a small machine on a busy proxy, NAT gateway or Kubernetes node",
		"a SYN flood",
	},
	Remedies: []string{
		"`sysctl -w net.netfilter.nf_conntrack_max=262144`, or twice what is in use",
		"let loopback pass without tracking: `nft add table inet loopback`, `nft add chain inet loopback output '{ type filter hook output priority raw; }'`, `nft add rule inet loopback output oifname lo notrack`",
		"see what is tracked: `conntrack -S` and `conntrack -L`",
	},
}, func(SpecContext) {
	count, countErr := readNumber("net.netfilter.nf_conntrack_count")
	most, mostErr := readNumber("net.netfilter.nf_conntrack_max")
	if countErr != nil || mostErr != nil {
		// Nothing is tracked where the kernel has no table.
		spec.Evidence("conntrack", "not in use here")
		return
	}
	spec.Measure("tracked_connections", float64(count))
	spec.Evidence("conntrack", "%d of at most %d connections are tracked", count, most)
	// 0 stands for no limit.
	Expect(most == 0 || float64(count) <= fullest*float64(most)).To(BeTrueBecause("%d of at most %d connections are tracked", count, most))
})

func readNumber(name string) (int, error) {
	value, err := sysctl.Read(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(value)
}
