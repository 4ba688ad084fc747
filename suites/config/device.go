package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// Limits that the kernel gives to lo (drivers/net/loopback.c; GSO_MAX_SEGS and
// GSO_LEGACY_MAX_SIZE, include/linux/netdevice.h). More is no harm.
const (
	leastMTU         = 65536
	leastGSOSegments = 65535
	leastGSOBytes    = 65536
)

var netlinkSocket = check.Need{Name: "rtnetlink", How: "run it where seccomp and capabilities allow NETLINK_ROUTE sockets"}

var _ = suite.It("has lo take packets as large as the kernel lets it, with no queue before it", check.Check{
	ID: "CFG-003", Grade: check.GradeAdvice, OS: "linux",
	Source: "drivers/net/loopback.c of the kernel; ip-link(8), gso_max_segs and gso_max_size; tc(8)",
	Asks:   "Reads over rtnetlink the queueing discipline, the MTU and the limits of segmentation offload of the loopback interface. Less than the kernel gives, or a queue, is told.",
	Why:    "Everything works, and costs more: each megabyte is cut into many small packets that all pass the firewall and the scheduler, and what shares a queue waits for it. Only profiles of busy machines show it.",
	Causes: []string{
		"a tuning script that sets the MTU, the queue or offloads of every interface",
		"a workaround for a network card that was applied to all interfaces",
	},
	Remedies: []string{
		"`ip link set dev lo mtu 65536 gso_max_segs 65535 gso_max_size 65536`",
		"`tc qdisc del dev lo root`",
	},
}, func(SpecContext) {
	lo, err := iface.Loopback()
	if errors.Is(err, fs.ErrPermission) {
		spec.Skip(netlinkSocket, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	spec.Evidence("lo", "MTU %d, qdisc %s, gso_max_segs %d, gso_max_size %d", lo.MTUBytes, lo.Qdisc, lo.GSOMaxSegments, lo.GSOMaxBytes)
	var less []string
	for _, limit := range []struct {
		name      string
		is, least uint32
	}{{"MTU", uint32(lo.MTUBytes), leastMTU}, {"gso_max_segs", lo.GSOMaxSegments, leastGSOSegments}, {"gso_max_size", lo.GSOMaxBytes, leastGSOBytes}} {
		// A kernel that does not tell says 0.
		if limit.is != 0 && limit.is < limit.least {
			less = append(less, fmt.Sprintf("%s is %d and not %d", limit.name, limit.is, limit.least))
		}
	}
	if lo.Qdisc != "noqueue" {
		less = append(less, "its queueing discipline is "+lo.Qdisc)
	}
	Expect(len(less) == 0).To(BeTrueBecause("%s is slower than it could be: %s", lo.Name, strings.Join(less, "; ")))
})
