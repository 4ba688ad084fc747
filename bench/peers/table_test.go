package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/probe/topology"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	benchtest.Golden(t, *update, filepath.Join("testdata", name), []byte(got))
}

// compared is a comparison of two sides with a median and a p99, or a rate alone.
func compared(kept, discarded int, theirs, ours [2]float64, rate [2]float64, quantities ...bench.Quantity) *bench.Comparison {
	c := &bench.Comparison{Kept: kept, Discarded: discarded, Sides: []bench.Compared{{Name: "floor"}, {Name: "tcp/rr/raw/same-core/1B"}}}
	for i, side := range [][2]float64{theirs, ours} {
		for range kept {
			r := bench.Restart{Count: 1000, Duration: time.Duration(1000 / rate[i] * 1e9), P50NS: side[0], P90NS: side[1], P99NS: side[1]}
			c.Sides[i].Restarts = append(c.Sides[i].Restarts, r)
		}
	}
	values := map[bench.Quantity][2]float64{bench.P50: {theirs[0], ours[0]}, bench.P99: {theirs[1], ours[1]}, bench.Rate: rate}
	for _, q := range quantities {
		ratio := values[q][1] / values[q][0]
		c.Metrics = append(c.Metrics, bench.Metric{Quantity: q, Ratios: []bench.Ratio{{Value: 1, Low: 1, High: 1}, {Value: ratio, Low: ratio - 0.01, High: ratio + 0.02}}})
	}
	return c
}

// made is a report with a row of each kind.
func made() *report {
	latency := []bench.Quantity{bench.P50, bench.P99, bench.Rate}
	spec := bench.Spec{Transport: bench.TCP, Op: bench.RR, Engine: bench.Raw, Placement: topology.SameCore, SizeBytes: 1, Flows: 1}
	pair := topology.Pair{Placement: topology.SameCore}
	one := func(peer, inconclusive string, c *bench.Comparison, goals ...goal) outcome {
		o := outcome{Name: "tcp/rr/same-core/1B/" + peer, Spec: spec, Peer: peer, Pair: pair, Comparison: c}
		if c != nil {
			if len(c.Sides) > 0 {
				c.Sides[0].Name = peer
			}
			o.Comparison.Inconclusive = inconclusive
			o.judge(goals)
		}
		return o
	}
	itself := one("floor itself", "", compared(30, 1, [2]float64{13_400, 21_000}, [2]float64{13_450, 21_100}, [2]float64{73_000, 72_900}, latency...))
	itself.Comparison.Sides[0].Name, itself.Comparison.Sides[1].Name, itself.Note = "floor", "floor itself", "a copy"
	qperf := one("qperf", "", compared(30, 0, [2]float64{}, [2]float64{13_600, 24_000}, [2]float64{60_000, 72_000}, bench.Rate))
	netperf := one("netperf", "", compared(30, 0, [2]float64{14_000, 25_000}, [2]float64{13_600, 24_000}, [2]float64{70_000, 72_000}, latency...))
	netperf.Note = "its percentiles are whole microseconds"
	crr := one("floor", "", compared(30, 2, [2]float64{60_000, 90_000}, [2]float64{64_000, 95_000}, [2]float64{15_600, 14_500}, latency...), atLeast(bench.Rate, 0.95))
	crr.Spec.Op = bench.CRR
	untold := one("iperf3", "", compared(3, 0, [2]float64{}, [2]float64{}, [2]float64{20_000, 21_000}, bench.Rate), atLeast(bench.Bytes, 0.98))
	untold.Spec.Op = bench.Stream
	few := one("floor", "3 of the 30 rounds wanted count: 57 of 60 are tainted: steal", compared(3, 57, [2]float64{13_400, 21_000}, [2]float64{13_900, 21_500}, [2]float64{73_000, 71_000}, latency...), roundTripGoals(topology.SameCore)...)
	none := one("floor", "0 of the 30 rounds wanted count: 60 of 60 are tainted: steal", &bench.Comparison{})
	interrupted := one("floor", "7 of the 30 rounds wanted count", compared(7, 0, [2]float64{13_400, 21_000}, [2]float64{13_600, 21_100}, [2]float64{73_000, 72_900}, latency...))
	interrupted.Error, interrupted.Interrupted = "interrupt signal received", true
	failed := one("sockperf", "0 of the 30 rounds wanted count", &bench.Comparison{})
	failed.Error = "sockperf, round 1: a | b\nc"
	absent, again := one("netperf", "", nil), one("netperf", "", nil)
	absent.Skipped, again.Skipped = "netperf is not installed", "netperf is not installed"
	return &report{
		Started: time.Date(2026, 11, 29, 7, 0, 0, 0, time.UTC), Machine: "Linux 6.1, 2 processors (Some Processor), go1.26.8", Rounds: 30,
		Outcomes: []outcome{
			itself,
			one("floor", "", compared(30, 4, [2]float64{13_400, 21_000}, [2]float64{13_500, 21_900}, [2]float64{73_000, 72_900}, latency...), roundTripGoals(topology.SameCore)...),
			one("floor", "", compared(30, 0, [2]float64{13_400, 21_000}, [2]float64{14_400, 23_080}, [2]float64{73_000, 70_000}, latency...), roundTripGoals(topology.SameCore)...),
			qperf, netperf, crr, untold, few, none, interrupted, failed, absent, again,
		},
	}
}

func TestTable(t *testing.T) {
	var text, markdown bytes.Buffer
	if err := made().printText(&text); err != nil {
		t.Fatal(err)
	}
	if err := made().printMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", text.String())
	golden(t, "table.md", markdown.String())
	for line := range strings.Lines(markdown.String()) {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != len(columns)+1 {
			t.Errorf("row has other columns than the head: %s", line)
		}
	}
}

func TestRepeatedTable(t *testing.T) {
	r := made()
	runs := func(inconclusive int, medians ...float64) []repetition {
		var all []repetition
		for i, m := range medians {
			one := repetition{P50NS: m}
			if i < inconclusive {
				one.Inconclusive = "6 of 10 restarts are tainted: steal"
			}
			all = append(all, one)
		}
		return all
	}
	for _, one := range []repeated{
		{Name: "tcp/rr/raw/same-core/64B", Runs: runs(1, 90_000, 5500, 5600, 5400, 5500)},
		{Name: "udp/rr/raw/same-core/64B", Runs: runs(0, 4000, 5000, 6000)},
		{Name: "unix/rr/raw/same-core/64B", Runs: runs(2, 4000, 5000)},
		{Name: "pipe/rr/raw/same-core/64B"},
		{Name: "tcp/rr/raw/cross-core/64B", Skipped: "this machine has one processor"},
		{Name: "tcp/rr/netconn/free/64B", Error: "a server that does not start"},
	} {
		one.Variation = variation(one.medians())
		r.Repeated = append(r.Repeated, one)
	}
	var text, markdown bytes.Buffer
	if err := r.printRepeated(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.printRepeatedMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	golden(t, "repeated.txt", text.String())
	golden(t, "repeated.md", markdown.String())
}

func TestVariation(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"none":      {nil, 0},
		"one":       {[]float64{5}, 0},
		"alike":     {[]float64{5, 5, 5}, 0},
		"different": {[]float64{8, 10, 12}, 0.2}, // a standard deviation of 2 around 10
	} {
		if got := variation(c.values); got != c.want {
			t.Errorf("%s: variation is %v, want %v", name, got, c.want)
		}
	}
}

func TestGoalsAreJudgedByTheirInterval(t *testing.T) {
	for name, c := range map[string]struct {
		goal             goal
		low, value, high float64
		want             string
	}{
		"below":               {atMost(bench.P50, 1.02), 0.98, 1.00, 1.01, "p50 ≤ 1.02: reached"},
		"below, perhaps":      {atMost(bench.P50, 1.02), 0.98, 1.01, 1.04, "p50 ≤ 1.02: reached, within the interval"},
		"above, perhaps":      {atMost(bench.P50, 1.02), 1.00, 1.03, 1.05, "p50 ≤ 1.02: missed, within the interval"},
		"above":               {atMost(bench.P99, 1.10), 1.11, 1.20, 1.30, "p99 ≤ 1.10: missed"},
		"at least":            {atLeast(bench.Rate, 0.95), 0.95, 0.99, 1.02, "rate ≥ 0.95: reached"},
		"at least, perhaps":   {atLeast(bench.Rate, 0.95), 0.93, 0.96, 0.99, "rate ≥ 0.95: reached, within the interval"},
		"too little, perhaps": {atLeast(bench.Bytes, 0.98), 0.90, 0.97, 0.99, "bytes/s ≥ 0.98: missed, within the interval"},
		"too little":          {atLeast(bench.Bytes, 0.98), 0.90, 0.92, 0.97, "bytes/s ≥ 0.98: missed"},
	} {
		if got := c.goal.judge(bench.Ratio{Low: c.low, Value: c.value, High: c.high}).String(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestReportIsWrittenWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "peers.json")
	r := made()
	if err := r.write(name); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(content, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Outcomes) != len(r.Outcomes) || len(back.Outcomes[1].Comparison.Sides[1].Restarts) != 30 || !back.Outcomes[1].Goals[0].Reached {
		t.Errorf("what was written does not hold what was measured:\n%.2000s", content)
	}
	if err := r.write(filepath.Join(t.TempDir(), "absent", "peers.json")); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("error of a folder that is not there: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v; want the report alone", left, err)
	}
}

// What each peer is asked decides what its figures mean.
func TestCommandLines(t *testing.T) {
	var lines strings.Builder
	for _, c := range comparisons("floor", "floor-copy", "peers") {
		if c.spec.Placement != topology.SameCore {
			continue
		}
		lasts, _ := c.windows(300 * time.Millisecond)
		j := job{transport: c.spec.Transport, op: c.spec.Op, size: c.spec.SizeBytes, window: lasts, ports: [2]uint16{21000, 21001}}
		client, server := c.peer.programs(j)
		fmt.Fprintln(&lines, c.name())
		if c.peer.server != nil {
			fmt.Fprintln(&lines, "  "+server, strings.Join(c.peer.server(j), " "))
		}
		fmt.Fprintln(&lines, "  "+client, strings.Join(c.peer.client(j), " "))
	}
	golden(t, "commands.txt", lines.String())
}

func TestNamesAreOnes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range comparisons("floor", "copy", "peers") {
		if err := c.spec.WithDefaults().Validate(); err != nil {
			t.Errorf("%s: %v", c.name(), err)
		}
		if seen[c.name()] || strings.ContainsAny(c.name(), " \t") {
			t.Errorf("%q is no name of one comparison", c.name())
		}
		seen[c.name()] = true
	}
	for _, s := range repeatable() {
		if err := s.Validate(); err != nil || seen[s.Name()] {
			t.Errorf("%s: %v", s.Name(), err)
		}
		seen[s.Name()] = true
	}
}
