package addressing

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// asMade is lo as the kernel makes it and setting it up leaves it.
var asMade = iface.Link{Name: "lo", Up: true, State: iface.Unknown, MTUBytes: 65536, Qdisc: "noqueue"}

var _ = suite.It("has lo up as the kernel makes it: state UNKNOWN, MTU 65536, no queue", check.Check{
	ID: "ADDR-011", Grade: check.GradeFail, OS: "linux",
	Source: "drivers/net/loopback.c of the kernel, loopback_setup; Documentation/networking/operstates.rst",
	Asks:   "Reads the loopback interface over rtnetlink: its flags, its operational state, its MTU and its queueing discipline.",
	Why:    "What is on lo slows or breaks everything that the machine says to itself. A smaller MTU cuts large datagrams into fragments and costs throughput, below 1,280 bytes it takes ::1 away; a queueing discipline adds delay, loss or a bandwidth limit to traffic that otherwise never waits.",
	Causes: []string{
		"lo was never set up, as in a network namespace or an initramfs that somebody made by hand",
		"the MTU was lowered, to be like that of the network or to get around a fault somewhere else",
		"a queueing discipline was left behind by a test with netem or by traffic shaping of all interfaces",
	},
	Remedies: []string{
		"`ip link set dev lo up`",
		"`ip link set dev lo mtu 65536`; where ::1 is gone, `ip address add ::1/128 dev lo` after it",
		"`tc qdisc del dev lo root`",
		"where it is meant to be so, leave the check out: `loopcheck run --label-filter '!ADDR-011'`",
	},
}, func(SpecContext) {
	lo, err := iface.Loopback()
	Expect(err).NotTo(HaveOccurred())
	spec.Evidence("lo", "up: %t, state %v, MTU %d, qdisc %s", lo.Up, lo.State, lo.MTUBytes, lo.Qdisc)
	differs := differences(lo)
	Expect(len(differs) == 0).To(BeTrueBecause("%s is not as the kernel makes it: %s", lo.Name, strings.Join(differs, "; ")))
})

// differences lists what is not as the kernel makes it. Of an interface that
// is down the rest tells nothing.
func differences(lo iface.Link) []string {
	if !lo.Up {
		return []string{"it is down"}
	}
	var list []string
	differ := func(what string, is, made any) {
		if is != made {
			list = append(list, fmt.Sprintf("%s is %v and not %v", what, is, made))
		}
	}
	differ("operational state", lo.State, asMade.State)
	differ("MTU", lo.MTUBytes, asMade.MTUBytes)
	differ("queueing discipline", lo.Qdisc, asMade.Qdisc)
	return list
}
