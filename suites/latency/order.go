package latency

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/topology"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// maxOverLocal is how many times as long as over the slower of a pipe and a unix
// socket a round trip over TCP or UDP may take. All four block, wake and copy
// alike, so that what differs is the path through the network stack. On stacks that
// are in order it was 0.7 to 1.5 times with both ends on one core. At 5 times a packet spends longer in rules, taps and queues than on
// all the rest of its way.
const maxOverLocal = 5

var slowStackCauses = []string{
	"each packet is held against hundreds of netfilter rules one after the other, instead of a set or a map",
	"packets on lo are copied by a capture (tcpdump, an IDS) or run through an eBPF program or a probe of a tracer",
	"lo has a queueing discipline that delays or limits (tbf, netem), or policy routing leads loopback traffic through a tunnel",
}

var slowStackRemedies = []string{
	"see where the time goes with `loopcheck bench ladder`, which measures what the rules cost as well",
	"put `iif lo accept` before the other rules, or their ports and addresses into sets: `nft list ruleset`",
	"see who taps or traces: `ss -0`, `bpftool prog`, `tc -s qdisc show dev lo`, `ip rule`",
}

var _ = suite.It("takes for a TCP round trip a time of the order of a unix socket's", check.Check{
	ID: "LAT-003", Grade: check.GradeWarn, Benchmark: true, OS: "linux", Timeout: orderTimeout,
	Source: "linux",
	Asks:   "Makes round trips of 64 bytes with both ends on one core, over TCP on 127.0.0.1, a unix socket and a pipe in turns, for 5 ms over each of 6 fresh pairs. TCP may take up to 5 times as long as the slower of the other two; on stacks that are in order it was 0.7 to 1.5 times. All wake and copy alike, so no figure of ours and no slow processor decides. It warns where the median ratio is above 5 twice in a row.",
	Why:    "A request to a local database, cache or sidecar passes the network stack four times or more. What rules, taps and queues add there is added to each of them, and no service shows where it comes from.",
	Causes: slowStackCauses, Remedies: slowStackRemedies,
}, func(ctx SpecContext) { takesTheOrderOfLocal(ctx, bench.TCP) })

var _ = suite.It("takes for a UDP round trip a time of the order of a unix socket's", check.Check{
	ID: "LAT-004", Grade: check.GradeWarn, Benchmark: true, OS: "linux", Timeout: orderTimeout,
	Source: "linux",
	Asks:   "Makes round trips of 64 bytes with both ends on one core, over UDP on 127.0.0.1, a unix socket and a pipe in turns, for 5 ms over each of 6 fresh pairs. UDP may take up to 5 times as long as the slower of the other two; on stacks that are in order it was 0.7 to 1.5 times. All wake and copy alike, so no figure of ours and no slow processor decides. It warns where the median ratio is above 5 twice in a row.",
	Why:    "Each look-up of a name at a local resolver, each metric for statsd and each packet of QUIC passes the network stack. What rules, taps and queues add there is added to each of them.",
	Causes: slowStackCauses, Remedies: slowStackRemedies,
}, func(ctx SpecContext) { takesTheOrderOfLocal(ctx, bench.UDP) })

// orderTimeout leaves room for a stack that crawls, and for measuring its rules.
const orderTimeout = 20 * time.Second

func takesTheOrderOfLocal(ctx context.Context, transport string) {
	GinkgoHelper()
	spec.Flow(transport, sock.IPv4.Loopback(0))
	if seen := ratioAbove(maxOverLocal, func() difference { return besideLocal(ctx, transport) }); seen != "" {
		Fail(seen + costOfRules(ctx, transport))
	}
}

// besideLocal measures a transport beside a unix socket and a pipe, and holds it
// against the slower of both.
func besideLocal(ctx context.Context, transport string) difference {
	GinkgoHelper()
	var specs []bench.Spec
	for _, t := range []string{transport, bench.Unix, bench.Pipe} {
		specs = append(specs, bench.Spec{Transport: t, Engine: bench.Raw, Placement: topology.SameCore})
	}
	results := measured(ctx, specs, bench.Plan{Restarts: fewRestarts, Window: shortWindow, Limit: limit}, "round trips over %s, a unix socket and a pipe", transport)
	for i, r := range results {
		if p50, given := r.Percentiles["p50_ns"]; given {
			spec.Measure(specs[i].Transport+"_rtt_p50_ns", p50)
		}
	}
	measured, base := results[0], results[1]
	if results[2].Over(base).Ratio > 1 {
		base = results[2]
	}
	return difference{measured.Over(base), transport, base.Transport}
}

// costOfRules measures what the machine's own rules cost, where that can be, and
// says what of it a transport pays.
func costOfRules(ctx context.Context, transport string) string {
	rules, err := bench.MeasureRules(ctx, bench.RulesPlan{Restarts: fewRestarts, Window: window, Limit: limit})
	if err != nil {
		spec.Evidence("netfilter rules", "what they cost is not known: %v", err)
		return ""
	}
	spec.Evidence("netfilter rules", "%s", rules)
	for _, c := range rules.Costs {
		if c.With.Transport == transport && c.Adds.Longer() {
			return fmt.Sprintf("; netfilter rules cost %.1f µs of it", c.Adds.NS/1e3)
		}
	}
	return ""
}

// difference is how much longer one thing took than another beside it.
type difference struct {
	bench.Difference
	what, base string
}

// fewestRounds tell something of a ratio.
const fewestRounds = 3

// ratioAbove measures, and once more where the ratio is above a bound: it says what
// was seen where both are, and is empty otherwise. The second ratio is inconclusive
// where the machine was busy elsewhere, where there are few rounds, and where they
// are so far apart that its interval reaches half the way down to 1.
func ratioAbove(bound float64, measure func() difference) (seen string) {
	GinkgoHelper()
	doubt := ""
	for range 2 {
		load := spec.StartLoad()
		d := measure()
		spec.Measure("ratio_to_"+d.base, d.Ratio)
		if d.Ratio <= bound {
			return ""
		}
		seen = fmt.Sprintf("%s took %.1f times as long as %s (interval %.1f to %.1f, over %d rounds), and may take %g times as long",
			d.what, d.Ratio, d.base, d.RatioLow, d.RatioHigh, d.Rounds, bound)
		doubt = d.Inconclusive
		if doubt == "" && (d.Rounds < fewestRounds || d.RatioLow <= (1+bound)/2) {
			how, _ := load.Starved()
			doubt = "the rounds are too few or too far apart, while " + how
		}
	}
	if doubt != "" {
		spec.Inconclusive("%s, but %s", seen, doubt)
	}
	return seen
}
