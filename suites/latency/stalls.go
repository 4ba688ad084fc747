package latency

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/topology"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// longestStall is above what acknowledgements are delayed by where the network
	// is quick (40 ms) and below TCP's least retransmission timeout (200 ms,
	// tcp_rto_min_us): nothing that a sound stack waits for lies in between.
	longestStall = 100 * time.Millisecond
	stallWindow  = 30 * time.Millisecond
)

var _ = suite.It("makes no round trip wait without a reason", check.Check{
	ID: "LAT-005", Grade: check.GradeFail, Benchmark: true, OS: "linux", Timeout: 20 * time.Second,
	Source: "RFC 6298 2; ip-sysctl, tcp_rto_min_us (a retransmission waits 200 ms at least, and loopback loses nothing)",
	Asks:   "Makes round trips back to back over TCP and UDP on 127.0.0.1, on one processor and on two, for 30 ms each: thousands. None may take 100 ms, but for one that others explain: for half of it the hypervisor or other programs had these processors, or its threads were ready to run and got none. It is asked up to three times, and fails where two of them had such a stall.",
	Why:    "A request that stalls for 200 ms once in a thousand is a retransmission: something loses packets on a path that has no reason to, and the slowest requests of a service show it first.",
	Causes: []string{
		"a firewall drops some packets on lo, so that TCP sends them again 200 ms later",
		"lo has a queueing discipline that drops or limits (tbf, netem), or a relay stands in for it",
		"the kernel or the hypervisor loses a wake-up or a timer",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"look for retransmissions while it runs: `nstat -az TcpRetransSegs TcpExtTCPTimeouts`",
		"see what is queued on lo with `tc -s qdisc show dev lo`",
	},
}, func(ctx SpecContext) {
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	spec.Flow("udp", sock.IPv4.Loopback(0))
	const needed = 2 // of three
	var unexplained, explained []string
	longest := time.Duration(0)
	for clean := 0; clean < needed && len(unexplained) < needed && clean+len(explained)+len(unexplained) < 2*needed-1; {
		a := attempt(ctx)
		longest = max(longest, a.longest)
		switch {
		case a.unexplained != "":
			unexplained = append(unexplained, a.unexplained)
		case a.explained != "":
			explained = append(explained, a.explained)
		default:
			clean++
		}
	}
	spec.Measure("rtt_max_ns", float64(longest.Nanoseconds()))
	for _, one := range explained {
		spec.Evidence("a stall with a reason", "%s", one)
	}
	if len(unexplained) < needed && len(unexplained)+len(explained) >= needed {
		spec.Inconclusive("round trips stalled: %s", strings.Join(append(unexplained, explained...), "; "))
	}
	Expect(len(unexplained)).To(BeNumerically("<", needed), "attempts with a stall that nothing explains: %s", strings.Join(unexplained, "; "))
})

// attempted is what one stretch of round trips over each transport came to.
type attempted struct {
	longest                time.Duration
	unexplained, explained string // stalls, empty where there was none
}

func attempt(ctx context.Context) attempted {
	GinkgoHelper()
	var specs []bench.Spec
	for _, p := range stallPlacements() {
		for _, transport := range []string{bench.TCP, bench.UDP} {
			specs = append(specs, bench.Spec{Transport: transport, Engine: bench.Raw, Placement: p})
		}
	}
	results := measured(ctx, specs, bench.Plan{Restarts: 1, Window: stallWindow}, "round trips over TCP and UDP")
	var a attempted
	for _, r := range results {
		took := time.Duration(r.Percentiles["max_ns"])
		a.longest = max(a.longest, took)
		if took < longestStall {
			continue
		}
		told := fmt.Sprintf("one of %d over %s, %s, took %v", r.Count, r.Transport, r.Placement, took.Round(time.Millisecond))
		if why, known := reasonFor(r, took); known {
			a.explained = told + " (" + why + ")"
		} else {
			a.unexplained = told
		}
	}
	return a
}

// stallPlacements are one processor, on which waiting has the fewest reasons, and
// two where there are: a wake-up that is lost is lost between them.
func stallPlacements() []topology.Placement {
	GinkgoHelper()
	processors, err := topology.Read()
	Expect(err).NotTo(HaveOccurred(), "read which processors there are")
	placements := []topology.Placement{topology.SameCore}
	if _, err := processors.Pair(topology.CrossCore); err == nil {
		placements = append(placements, topology.CrossCore)
	}
	return placements
}

// reasonFor says what took as long as half of a stall meanwhile and can be its
// reason, if something did: the processors were not the benchmark's, or its threads
// were ready to run and did not. Both ends wait for one processor all the time,
// without a reason: a window ends with its stall, so of their waiting as much as
// lies before it is no reason.
func reasonFor(r bench.Result, stall time.Duration) (why string, known bool) {
	var length time.Duration
	for _, one := range r.Restarts {
		length += one.Duration
	}
	of := func(share float64) time.Duration { return time.Duration(max(0, share) * float64(length)) }
	taken, waited := of(r.Conditions.Taken), max(0, of(r.Conditions.Waiting)-(length-stall))
	why = fmt.Sprintf("meanwhile other programs and the hypervisor had its processors for %v, and its own threads waited for one for %v",
		taken.Round(time.Millisecond), waited.Round(time.Millisecond))
	return why, max(taken, waited) >= stall/2
}
