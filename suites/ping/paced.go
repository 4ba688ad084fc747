package ping

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	probing "github.com/prometheus-community/pro-bing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	pacedPings    = 1000
	pacedInterval = time.Millisecond
	// pacedTimeout is when pro-bing stops to wait for what is missing: five
	// times what a quiet machine takes.
	pacedTimeout = 6 * time.Second
)

var _ = suite.It("answers 1,000 pings a millisecond apart, none lost, doubled or reordered", check.Check{
	ID: "PING-019", Grade: check.GradeFail, Source: "RFC 792",
	Needs: []check.Need{check.PingSocket},
	Asks: "pro-bing sends 1,000 echo requests to 127.0.0.1, a millisecond apart. Every reply has to come, once and in the order of the requests; no request may be refused. " +
		"The percentiles of the round trip are reported; they decide nothing.",
	Why: "One ping that works says little. A rule that drops at random, a rate limit or a duplicating filter shows in a thousand.",
	Causes: []string{
		"a netfilter rule with limit, hashlimit, statistic or numgen matches ICMP on lo",
		"net.ipv4.icmp_ratemask includes echo replies (bit 0), so that net.ipv4.icmp_msgs_per_sec limits them",
		"a queueing discipline on lo that drops, delays or duplicates",
	},
	Remedies: []string{
		acceptLoopback,
		"clear bit 0 of net.ipv4.icmp_ratemask (the kernel's default is 6168)",
		"tc qdisc show dev lo; tc qdisc del dev lo root takes off one that drops, delays or duplicates",
	},
}, func(ctx SpecContext) {
	via := access(v4Loopback)
	before, countersErr := counters.Read()

	var order []int
	var doubled, refused int
	var refusal error
	stats := proBing(ctx, v4Loopback, via, func(p *probing.Pinger) {
		p.Count, p.Interval, p.Timeout = pacedPings, pacedInterval, pacedTimeout
		p.OnRecv = func(pkt *probing.Packet) { order = append(order, pkt.Seq) }
		p.OnDuplicateRecv = func(*probing.Packet) { doubled++ }
		// A packet that a rule drops on its way out is refused to its sender,
		// and pro-bing sends the same sequence number again.
		p.OnSendError = func(_ *probing.Packet, err error) { refused, refusal = refused+1, err }
	})
	lost := stats.PacketsSent - stats.PacketsRecv
	reordered := 0
	for i := 1; i < len(order); i++ {
		if order[i] < order[i-1] {
			reordered++
		}
	}
	spec.Measure("refused", float64(refused))
	report(stats, lost, doubled, reordered)

	if refused > 0 {
		Expect(refused).To(BeZero(), "requests to %v that the kernel refused to send: %s", v4Loopback, rootError(refusal))
	}
	Expect(doubled).To(BeZero(), "replies from %v that came twice", v4Loopback)
	Expect(reordered).To(BeZero(), "replies from %v that came before an earlier request's", v4Loopback)
	if lost > 0 && countersErr == nil {
		after, err := counters.Read()
		Expect(err).NotTo(HaveOccurred())
		received, err := after.Sub(before).Get("Icmp", "InEchoReps")
		Expect(err).NotTo(HaveOccurred())
		// The kernel may have answered them all while the reader starved and
		// the socket's buffer overflowed: that is not the stack's loss. But it
		// counts the replies to every pinger of the namespace, so that only
		// exactly as many as were sent can be taken for ours.
		if received == int64(stats.PacketsSent) {
			spec.Inconclusive("%d of %d replies were not read, but the kernel received all: the pinger was short of processor time", lost, stats.PacketsSent)
		}
	}
	Expect(lost).To(BeZero(), "replies from %v lost, of %d", v4Loopback, stats.PacketsSent)
	if stats.PacketsSent < pacedPings {
		spec.Inconclusive("only %d of %d requests were sent within %v, and all were answered: the machine or the pinger stood still", stats.PacketsSent, pacedPings, pacedTimeout)
	}
})

func report(stats *probing.Statistics, lost, doubled, reordered int) {
	spec.Measure("sent", float64(stats.PacketsSent))
	spec.Measure("lost", float64(lost))
	spec.Measure("doubled", float64(doubled))
	spec.Measure("reordered", float64(reordered))
	// Three significant digits, up to the longest wait.
	h := hdrhistogram.New(1, int64(pacedTimeout), 3)
	for _, rtt := range stats.Rtts {
		// pro-bing reads the wall clock, which may be set back meanwhile.
		_ = h.RecordValue(max(int64(rtt), 1))
	}
	for name, percentile := range map[string]float64{"rtt_p50_ns": 50, "rtt_p90_ns": 90, "rtt_p99_ns": 99} {
		spec.Measure(name, float64(h.ValueAtQuantile(percentile)))
	}
	spec.Evidence("round trips", "p50 %v, p90 %v, p99 %v, max %v",
		time.Duration(h.ValueAtQuantile(50)), time.Duration(h.ValueAtQuantile(90)), time.Duration(h.ValueAtQuantile(99)), stats.MaxRtt)
}
