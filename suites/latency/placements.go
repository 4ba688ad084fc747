package latency

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/topology"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("answers every round trip on each placement and reports the percentiles of each", check.Check{
	ID: "LAT-008", Grade: check.GradeFail, Benchmark: true, OS: "linux", Timeout: 20 * time.Second,
	Source: "RFC 9293 3.1; RFC 768; udp(7)",
	Asks:   "Makes round trips of 64 bytes over TCP and UDP on 127.0.0.1 by blocking system calls, with both ends held to processors that lie as near and as far as this machine has them: one core, two threads of a core, two cores with and without a common cache, two sockets. For 10 ms over each of 6 fresh pairs of sockets every response must come within a second and equal its request.",
	Why:    "Where both ends run makes a round trip three to five times as long, more than most settings do. A figure without its placement compares nothing, and a processor whose wake-ups or caches misbehave is seen on its own placement alone.",
	Causes: []string{
		"a firewall drops or rewrites packets on lo, or a queueing discipline delays or limits them",
		"a processor is offline or throttled, or the hypervisor does not run it",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see what is queued on lo with `tc -s qdisc show dev lo`",
		"measure it for longer with `loopcheck bench --placement same-core,cross-core`",
	},
}, func(ctx SpecContext) {
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	spec.Flow("udp", sock.IPv4.Loopback(0))
	processors, err := topology.Read()
	Expect(err).NotTo(HaveOccurred(), "read which processors there are")
	var specs []bench.Spec
	for _, p := range processors.Placements() {
		if p == topology.Free {
			continue // LAT-001 and LAT-002 report it
		}
		for _, transport := range []string{bench.TCP, bench.UDP} {
			specs = append(specs, bench.Spec{Transport: transport, Engine: bench.Raw, Placement: p})
		}
	}
	results := measured(ctx, specs, bench.Plan{Restarts: fewRestarts, Window: window, Lossless: true, Limit: limit}, "round trips on each placement")
	for _, r := range results {
		spec.Benchmark(r)
		Expect(r.Count).To(BeNumerically(">", 0), "%s: round trips", r.Name)
		if n := tainted(r); n > 0 {
			spec.Evidence("trust", "%s: %d of %d restarts were disturbed (%v)", r.Name, n, len(r.Restarts), r.Taint)
		}
	}
})
