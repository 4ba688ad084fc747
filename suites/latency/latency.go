// Package latency holds the checks that make thousands of round trips on
// loopback: all of them must be answered, and what they took goes into the
// report. No figure of ours says how fast is fast enough: what is judged is held
// against what this machine does beside it, in turns.
package latency

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("latency", "Latency: round trips on loopback", 900)

var _ = suite.It("answers every TCP round trip over net.Conn and reports its percentiles", check.Check{
	ID: "LAT-001", Grade: check.GradeFail, Benchmark: true, Timeout: 20 * time.Second,
	Source: "RFC 9293 3.1 (all data is delivered, in order)",
	Asks:   "Sends 64 bytes over a TCP connection on 127.0.0.1 and waits for them to come back before the next 64 go, for 10 ms over each of 8 fresh connections, or of as many as 5 s leave time for. Every response must come within a second and equal its request, and there must be at least 20. The server is a process of its own, so the figures hold what system calls, TCP, Go's network poller and the wake-up of another process cost.",
	Why:    "A request to a local database, cache, proxy or sidecar is such a round trip, often many for one request of a user. What loopback adds here is added to each of them.",
	Causes: []string{
		"a firewall drops, rewrites or throttles segments on lo, so that TCP has to wait for a retransmission",
		"lo has a queueing discipline that delays or limits (tbf, netem)",
		"a user-space stack or proxy stands in for loopback and stalls",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see what is queued on lo with `tc -s qdisc show dev lo`, and take it away with `tc qdisc del dev lo root`",
		"look for retransmissions while it runs: `nstat -az TcpRetransSegs TcpExtTCPTimeouts`",
	},
}, func(ctx SpecContext) { answersEveryRoundTrip(ctx, "tcp") })

var _ = suite.It("answers every UDP round trip over net.Conn and reports its percentiles", check.Check{
	ID: "LAT-002", Grade: check.GradeFail, Benchmark: true, Timeout: 20 * time.Second,
	// RFC 768 promises no delivery. A datagram to an empty receive buffer on
	// loopback meets nothing that Linux documents to drop it.
	Source: "RFC 768; udp(7)",
	Asks:   "Sends a datagram of 64 bytes to 127.0.0.1 and waits for its echo before the next one goes, for 10 ms over each of 8 fresh pairs of sockets, or of as many as 5 s leave time for. Every echo must come within a second and equal its datagram, and there must be at least 20. Only one datagram is under way at a time, so no buffer can overflow.",
	Why:    "Local resolvers, statsd, syslog and QUIC depend on datagrams that arrive on loopback without being sent again. A lost one costs a resolver's client a timeout of seconds.",
	Causes: []string{
		"a firewall drops, rewrites or throttles datagrams on lo",
		"lo has a queueing discipline that drops, delays or limits (tbf, netem)",
		"the memory of all UDP sockets together has reached net.ipv4.udp_mem",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see what is queued on lo with `tc -s qdisc show dev lo`, and take it away with `tc qdisc del dev lo root`",
		"look for where datagrams are counted as lost: `nstat -az UdpInErrors UdpRcvbufErrors UdpMemErrors`",
	},
}, func(ctx SpecContext) { answersEveryRoundTrip(ctx, "udp") })

// Restarts and windows are as few and short as tell a median: the whole suite has
// some seconds. Six restarts are the least that give an interval of 95 %; eight
// leave it standing where one or two are tainted.
const (
	manyRestarts = 8
	fewRestarts  = 6
	window       = 10 * time.Millisecond
	shortWindow  = 5 * time.Millisecond // a thousand round trips on one core
	// limit is for a stack that crawls, and for a machine that starts processes slowly.
	limit = 5 * time.Second
)

// fewestSamples is what back-to-back round trips of 80 ms exceed by far even
// where each takes milliseconds, and is what a median takes. A stack that stalls
// on every one, for a delayed acknowledgement or a retransmission, stays below.
var fewestSamples = bench.SamplesFor("p50_ns")

// needServer is for a user who has used up what a second process takes.
var needServer = check.Need{
	Name: "a process for the server",
	How:  "raise the limits of processes and open files with `ulimit -u 4096` and `ulimit -n 4096`",
}

// measured are benchmarks that any machine can make. One that starved while it waited
// comes to no conclusion. What is said of an error is as in fmt.Sprintf.
func measured(ctx context.Context, specs []bench.Spec, plan bench.Plan, what string, args ...any) []bench.Result {
	GinkgoHelper()
	load := spec.StartLoad()
	results, err := bench.Measure(ctx, specs, plan)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), fmt.Sprintf(what, args...))
	for _, r := range results {
		if r.Skipped != "" {
			Fail(r.Name + " " + r.Skipped)
		}
	}
	return results
}

func answersEveryRoundTrip(ctx context.Context, transport string) {
	GinkgoHelper()
	spec.Flow(transport, sock.IPv4.Loopback(0))
	load := spec.StartLoad()
	results, err := bench.Measure(ctx, []bench.Spec{{Transport: transport, Engine: bench.NetConn}},
		bench.Plan{Restarts: manyRestarts, Window: window, Lossless: true, Limit: limit})
	Expect(err).NotTo(HaveOccurred(), "round trips over %s", transport)
	result := results[0]
	if result.Skipped != "" {
		spec.Skip(needServer, result.Skipped)
	}
	spec.Benchmark(result)
	report(result)
	if result.Count < fewestSamples {
		how, starved := load.Starved()
		if starved || tainted(result) == len(result.Restarts) {
			spec.Inconclusive("only %d round trips were made in %d restarts, of which %d were disturbed, while %s",
				result.Count, len(result.Restarts), tainted(result), how)
		}
	}
	Expect(result.Count).To(BeNumerically(">=", fewestSamples), "%s: round trips in %d restarts", result.Name, len(result.Restarts))
}

// report hands the figures that a reader looks for first to the report.
func report(result bench.Result) {
	for _, p := range []struct{ key, name string }{{"p50_ns", "rtt_p50_ns"}, {"p99_ns", "rtt_p99_ns"}} {
		if figure, given := result.Percentiles[p.key]; given {
			spec.Measure(p.name, figure)
		}
	}
	spec.Measure("rate_per_s", result.RatePerS)

	switch n := tainted(result); n {
	case 0:
		spec.Evidence("trust", "none of %d restarts was disturbed", len(result.Restarts))
	case len(result.Restarts):
		spec.Evidence("trust", "all %d restarts were disturbed (%v): the figures hold the disturbance as well, and tell little about this machine when it is quiet", n, result.Taint)
	default:
		spec.Evidence("trust", "%d of %d restarts were disturbed (%v) and are left out of the figures", n, len(result.Restarts), result.Taint)
	}
}

func tainted(result bench.Result) int {
	n := 0
	for _, r := range result.Restarts {
		if len(r.Taint) > 0 {
			n++
		}
	}
	return n
}
