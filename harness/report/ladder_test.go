package report

import (
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// ladders hold a step of every kind: with a base and without one, one that is
// faster than its base, one that noise hides, and one that was skipped.
func ladders() *Ladders {
	results := benchtest.Results()
	measured := func(medianNS float64) bench.Result {
		r := benchtest.Result(bench.Spec{Transport: bench.TCP, Placement: topology.SameCore}, medianNS, 1000)
		r.MedianNS = medianNS
		r.CI95 = bench.Interval{LowNS: 0.98 * medianNS, HighNS: 1.03 * medianNS, Confidence: 0.96}
		return r
	}
	adds := func(ns, low, high float64, rounds int) *bench.Difference {
		return &bench.Difference{NS: ns, CI95: bench.Interval{LowNS: low, HighNS: high, Confidence: 0.96}, Ratio: 1.1, RatioLow: 1, RatioHigh: 1.2, Rounds: rounds}
	}
	skipped := results[6]
	udp := measured(4330)
	udp.Transport = bench.UDP
	steps := []bench.Step{
		{Name: "clock", What: "one reading of the clock", Result: measured(28.6)},
		{Name: "wake-up", What: "two threads wake each other once", Over: "clock", Times: 4, BaseNS: 114.4, Result: measured(2310), Adds: adds(2195, 2100, 2250, 12)},
		{Name: "pipe", What: "a request and its response over a pipe for each direction, which is a long line that has to be broken", Over: "wake-up", Times: 1, BaseNS: 2310, Result: measured(2250), Adds: adds(-60, -110, -20, 12), Remark: "faster than wake-up beyond the noise: what it adds cannot be told"},
		{Name: "unix", What: "the same over \x1b[31msockets", Over: "pipe", Times: 1, BaseNS: 2250, Result: measured(2300), Adds: adds(50, -20, 130, 12), Remark: "not slower than pipe beyond the noise"},
		{Name: "tcp", What: "the same over TCP", Over: "unix", Times: 1, BaseNS: 2300, Result: measured(5490), Adds: adds(3190, 3190, 3190, 1), Remark: "too few rounds to tell it from unix: 1 of the 6 it takes"},
		{Name: "http", What: "a request of HTTP", Result: skipped},
		{Name: "tls", What: "a request of TLS", Result: results[7]},
	}
	return &Ladders{
		SchemaVersion: SchemaVersion, Tool: Tool{Version: "v1.2.3"}, Started: time.Date(2026, 11, 29, 7, 0, 0, 0, time.UTC),
		Command: []string{"loopcheck", "bench", "ladder"}, Host: host.Facts{OS: "Linux", Kernel: "6.18", Arch: "amd64"}, Interrupted: true,
		Ladders: []bench.Ladder{
			{Pair: topology.Pair{Placement: topology.SameCore, Client: 1, Server: 1}, Steps: steps},
			{Pair: topology.Pair{Placement: topology.SameLLC, Client: 1, Server: 0}, Steps: steps[:2]},
		},
		Rules: &bench.Rules{Count: 17, Untried: []string{"set blocked: its timeouts"}, Costs: []bench.RulesCost{
			{Without: measured(5490), With: measured(6100), Adds: *adds(610, 560, 700, 30)},
			{Without: udp, With: udp, Adds: bench.Difference{NS: 10, CI95: bench.Interval{LowNS: -40, HighNS: 60, Confidence: 0.96}, Ratio: 1, Rounds: 30, Inconclusive: "in 20 of 30 rounds one of both is tainted: cpu-pace"}},
		}},
	}
}

func TestLaddersGolden(t *testing.T) {
	golden(t, "ladders.txt", rendered(t, LaddersText(ladders(), Style{})))
}

func TestLaddersFitTheTerminal(t *testing.T) {
	for _, width := range []int{76, 80, 132} {
		text := string(rendered(t, LaddersText(ladders(), Style{Width: width})))
		for line := range strings.Lines(text) {
			if got := terminal.Columns(strings.TrimSuffix(line, "\n")); got > width {
				t.Errorf("at %d columns a line has %d: %q", width, got, line)
			}
		}
		if strings.Contains(text, "\x1b") {
			t.Errorf("an escape is written raw:\n%s", text)
		}
	}
}

func TestLaddersFollowTheirSchema(t *testing.T) {
	skipped := ladders()
	skipped.Rules = &bench.Rules{Skipped: "this machine has no netfilter rules"}
	for name, l := range map[string]*Ladders{"full": ladders(), "skipped": skipped, "empty": {SchemaVersion: SchemaVersion, Tool: Tool{Version: "v"}}} {
		document := rendered(t, LaddersJSON(l))
		if err := reporttest.CheckLadders(document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wrong := strings.Replace(string(document), `"interrupted"`, `"stopped"`, 1)
		if reporttest.CheckLadders([]byte(wrong)) == nil {
			t.Errorf("%s: the schema takes a key that it does not know", name)
		}
	}
}
