package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	loPackets = 20
	loPayload = 1000
	// loPacket is what lo counts of one, from the IP header on.
	loPacket = 20 + 8 + loPayload
)

var _ = suite.It("counts every packet over lo as sent and as received", check.Check{
	ID: "LIM-004", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, drivers/net/loopback.c, loopback_get_stats64; proc_net(5), /proc/net/dev",
	Asks:   "Sends 20 datagrams of 1,000 bytes over 127.0.0.1 and reads lo's line of /proc/net/dev before and after. Packets and bytes received must be those sent, and have grown by what was sent at least.",
	Why:    "Monitoring takes a difference between the two for loss inside of the machine, and the figures for what local services say to each other. Where packets leave lo another way, or are dropped before it, they show it first.",
	Causes: []string{
		"a rule at the egress hook of lo drops or redirects (nftables netdev, tc, eBPF)",
		"a routing rule sends what is for 127.0.0.1 through another interface",
		spec.OtherStack,
	},
	Remedies: []string{
		"`ip -s link show lo`, `tc filter show dev lo egress`, `nft list ruleset netdev`, `bpftool net show dev lo`",
		"`ip rule`, `ip route get 127.0.0.1`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	sender, _ := hostPair(sock.IPv4)
	before := countersOfLo()
	payload := make([]byte, loPayload)
	for range loPackets {
		Expect(sender.Send(deadline, payload, 0)).To(Equal(loPayload), "bytes sent")
	}
	now := countersOfLo()
	spec.Evidence("lo", "%s", now)
	Expect(judgeLo(before, now)).To(Succeed())
})

func countersOfLo() counters.Interface {
	GinkgoHelper()
	all, err := counters.ReadInterfaces()
	Expect(err).NotTo(HaveOccurred())
	Expect(all).To(HaveKey("lo"), "the interfaces of /proc/net/dev")
	return all["lo"]
}

// judgeLo says what lo counted wrongly of the datagrams sent between two
// readings. Others send as well.
func judgeLo(before, now counters.Interface) error {
	if now.RxPackets != now.TxPackets || now.RxBytes != now.TxBytes {
		return fmt.Errorf("lo has received %d packets and %d bytes, and sent %d and %d", now.RxPackets, now.RxBytes, now.TxPackets, now.TxBytes)
	}
	grown := now.Sub(before)
	if grown.TxPackets < loPackets || grown.TxBytes < loPackets*loPacket {
		return fmt.Errorf("lo counted %d packets and %d bytes, where %d packets and %d bytes were sent over it", grown.TxPackets, grown.TxBytes, loPackets, loPackets*loPacket)
	}
	return nil
}

// loFeatures are what loopback_setup and gen_lo_setup of drivers/net/loopback.c
// give lo, as far as something else depends on it.
var loFeatures = []struct {
	name  string
	on    bool
	fixed bool // has to be
}{
	{"loopback", true, true},
	{"tx-checksum-ip-generic", true, true},
	{"rx-checksum", true, false},
	{"tx-tcp-segmentation", true, false},
	{"tx-tcp6-segmentation", true, false},
	{"tx-generic-segmentation", true, false},
	{"rx-lro", false, false},
}

var askFeatures = check.Need{Name: "SIOCETHTOOL", How: "run it where seccomp and security modules let a program ask for the features of interfaces, as `ethtool -k lo` does"}

var _ = suite.It("has lo's offloads as the kernel makes them: checksum and segmentation on, LRO off", check.Check{
	ID: "LIM-012", Grade: check.GradeFail, OS: "linux",
	Source: "drivers/net/loopback.c of the kernel, gen_lo_setup; Documentation/networking/netdev-features.rst; ethtool(8), --show-features",
	Asks:   "Asks the kernel for the features of lo (SIOCETHTOOL). Loopback and generic checksums must be on and fixed, receive checksums, TCP segmentation (TSO, both families) and generic segmentation (GSO) on, and large receive offload (LRO) off.",
	Why:    "What a machine says to itself is neither checksummed nor cut up: that is what makes loopback fast. Switched off, often by a script that means the network card, every local megabyte is cut into packets that each pass the firewall.",
	Causes: []string{
		"a tuning script or `ethtool -K` was applied to every interface, lo among them",
		"a user-space stack or sandbox whose lo is not the kernel's",
	},
	Remedies: []string{
		"`ethtool -K lo tso on gso on rx on`",
		"look for who changes it: `grep -rs ethtool /etc/udev /etc/network /etc/networkd-dispatcher /etc/systemd`",
	},
}, func(SpecContext) {
	features, err := iface.Features("lo")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOTTY) {
		spec.Skip(askFeatures, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	for _, f := range loFeatures {
		spec.Evidence(f.name, "%s", features[f.name])
	}
	Expect(judgeFeatures(features)).To(Succeed(), "features of lo")
})

// judgeFeatures says which features are not as they should be.
func judgeFeatures(features map[string]iface.Feature) error {
	var wrong []string
	for _, want := range loFeatures {
		is, known := features[want.name]
		switch {
		case !known:
			wrong = append(wrong, want.name+" is not known")
		case is.On != want.on, want.fixed && !is.Fixed:
			wrong = append(wrong, fmt.Sprintf("%s is %s and not %s", want.name, is, iface.Feature{On: want.on, Fixed: want.fixed}))
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}
