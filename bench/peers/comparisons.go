package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// comparison is a benchmark of ours beside a peer.
type comparison struct {
	spec bench.Spec
	peer *peer
	// twin, where there is one, takes the place of our benchmark: how far two sides
	// seem to differ that do not.
	twin  *peer
	goals []goal
	note  string
}

// goal is what the ratio of ours to the peer's is meant to be.
type goal struct {
	Quantity bench.Quantity `json:"quantity"`
	Bound    float64        `json:"bound"`
	AtLeast  bool           `json:"at_least,omitempty"` // otherwise at most
}

func atMost(q bench.Quantity, bound float64) goal  { return goal{Quantity: q, Bound: bound} }
func atLeast(q bench.Quantity, bound float64) goal { return goal{q, bound, true} }

// name is what --only looks at, such as "tcp/rr/same-core/1B/floor".
func (c comparison) name() string {
	peer := c.peer.name
	if c.twin != nil {
		peer = c.twin.name
	}
	return fmt.Sprintf("%s/%s/%s/%dB/%s", c.spec.Transport, c.spec.Op, c.spec.Placement, c.spec.SizeBytes, strings.ReplaceAll(peer, " ", "-"))
}

// windows are how long a restart of the peer lasts, and how long it measures for,
// as ours does then: a peer that knows whole seconds alone decides for both.
func (c comparison) windows(asked time.Duration) (lasts, measures time.Duration) {
	if !c.peer.wholeSeconds {
		return asked, asked
	}
	lasts = max(time.Second, asked.Round(time.Second))
	return lasts, lasts - c.peer.aside
}

// placements are those that each comparison is made in.
var placements = []topology.Placement{topology.SameCore, topology.CrossCore}

// roundTripGoals are those beside another program that does the least: over two
// processors each end waits to be woken, which varies more.
func roundTripGoals(p topology.Placement) []goal {
	median := 1.02
	if p == topology.CrossCore {
		median = 1.05
	}
	return []goal{atMost(bench.P50, median), atMost(bench.P99, 1.10)}
}

// comparisons are all there are. The floor is a program at a path, as is its copy, and
// as is this program itself.
func comparisons(floor, copied, itself string) []comparison {
	const tiny, segment = 1, 1400 // bytes: the least there is, and a full Ethernet frame
	const stream = bench.DefaultStreamBytes
	inC := floorPeer(floorName, floor)
	var all []comparison
	add := func(transport, op string, p topology.Placement, size int, c comparison) {
		c.spec = bench.Spec{Transport: transport, Op: op, Engine: bench.Raw, Placement: p, SizeBytes: size}
		all = append(all, c)
	}
	for _, p := range placements {
		add(bench.TCP, bench.RR, p, tiny, comparison{peer: inC, twin: floorPeer(floorName+" itself", copied), note: "the floor beside a copy of itself: what the comparison adds of its own"})
		for _, transport := range []string{bench.TCP, bench.UDP} {
			for _, size := range []int{tiny, segment} {
				add(transport, bench.RR, p, size, comparison{peer: inC, goals: roundTripGoals(p)})
				add(transport, bench.RR, p, size, comparison{peer: netperf(), note: "its percentiles are whole microseconds"})
				add(transport, bench.RR, p, size, comparison{peer: neper(bench.RR), goals: roundTripGoals(p)})
			}
			add(transport, bench.RR, p, sockperfBytes, comparison{peer: sockperf(transport), goals: []goal{atMost(bench.P50, 1)}})
			add(transport, bench.RR, p, tiny, comparison{peer: qperf(), note: "it tells means alone, one way: the rate is of round trips, half of its messages"})
		}
		above := []goal{atLeast(bench.Rate, 1)}
		add(bench.TCP, bench.CRR, p, tiny, comparison{peer: inC, goals: []goal{atLeast(bench.Rate, 0.95)}})
		add(bench.TCP, bench.CRR, p, tiny, comparison{peer: neper(bench.CRR), goals: above})
		add(bench.TCP, bench.CRR, p, tiny, comparison{peer: netperf(), goals: above, note: "its crr closes with a FIN, ours with a reset: crr-graceful does the same as it"})
		add(bench.TCP, bench.CRRGraceful, p, tiny, comparison{peer: netperf()})
		add(bench.TCP, bench.Stream, p, stream, comparison{peer: iperf3(), goals: []goal{atLeast(bench.Bytes, 0.98)}})
		add(bench.TCP, bench.Stream, p, stream, comparison{peer: neper(bench.Stream)})
	}
	for _, p := range append(slices.Clone(placements), topology.Free) {
		all = append(all, comparison{
			spec:  bench.Spec{Transport: bench.HTTP, Op: bench.RR, Engine: bench.NetConn, Placement: p, SizeBytes: bench.DefaultSizeBytes},
			peer:  netHTTP(itself),
			goals: []goal{atMost(bench.P50, 1.10)}, // what the benchmark may add of its own
		})
	}
	return all
}

// judgement says whether a goal was reached.
type judgement struct {
	goal
	Ratio bench.Ratio `json:"ratio"`
	// Reached is what the estimate says, and Certain whether all of its interval does.
	Reached bool `json:"reached"`
	Certain bool `json:"certain"`
	// Untold says that one of the two does not tell of the quantity.
	Untold bool `json:"untold,omitempty"`
}

func (g goal) judge(r bench.Ratio) judgement {
	if g.AtLeast {
		return judgement{goal: g, Ratio: r, Reached: r.Value >= g.Bound, Certain: r.Low >= g.Bound || r.High < g.Bound}
	}
	return judgement{goal: g, Ratio: r, Reached: r.Value <= g.Bound, Certain: r.High <= g.Bound || r.Low > g.Bound}
}

func (j judgement) String() string {
	sign, verdict := "≤", "missed"
	if j.AtLeast {
		sign = "≥"
	}
	switch {
	case j.Untold:
		verdict = "not told"
	case j.Reached:
		verdict = "reached"
	}
	if !j.Certain && !j.Untold {
		verdict += ", within the interval"
	}
	return fmt.Sprintf("%s %s %.2f: %s", quantityNames[j.Quantity], sign, j.Bound, verdict)
}

// quantityNames are those that tables have.
var quantityNames = map[bench.Quantity]string{bench.P50: "p50", bench.P90: "p90", bench.P99: "p99", bench.Rate: "rate", bench.Bytes: "bytes/s"}
