package compare

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/topology"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

var update = flag.Bool("update", false, "write the golden files anew")

var rules = judge.Rules{MinEffect: judge.DefaultMinEffect, Level: judge.DefaultLevel}

// result is a benchmark whose restarts vary by 2 % about a median.
func result(s bench.Spec, medianNS float64, restarts int) bench.Result {
	s = s.WithDefaults()
	source := rand.New(rand.NewPCG(3, uint64(medianNS)))
	r := bench.Result{Name: s.Name(), Spec: s, Count: int64(1000 * restarts)}
	for i := range restarts {
		p50 := medianNS * (1 + 0.02*source.NormFloat64())
		r.Restarts = append(r.Restarts, bench.Restart{
			Round: i, Count: 1000, Duration: time.Duration(1010 * p50),
			P50NS: p50, P90NS: 1.1 * p50, P98NS: 1.99 * p50, P99NS: 2 * p50, P995NS: 2.01 * p50, CPUNSPerOp: 0.9 * p50,
		})
	}
	return r
}

// pair is a report of a machine, and one of the same after all kinds of things
// changed.
func pair() (base, after *report.Report) {
	tcp, udp, unix := bench.Spec{Transport: bench.TCP, Placement: topology.SameCore}, bench.Spec{Transport: bench.UDP, Placement: topology.SameCore}, bench.Spec{Transport: bench.Unix, Placement: topology.SameCore}
	pipe, icmp := bench.Spec{Transport: bench.Pipe, Placement: topology.SameCore}, bench.Spec{Transport: bench.ICMP, Placement: topology.SameCore}
	cross := bench.Spec{Transport: bench.Pipe, Placement: topology.SameLLC}
	skipped := result(icmp, 1, 0)
	skipped.Skipped = "needs a ping socket or CAP_NET_RAW"
	listener := func(port uint16, process string) listeners.Listener {
		return listeners.Listener{Protocol: "tcp", Address: netip.MustParseAddr("0.0.0.0"), Port: port, Process: process, Unit: process + ".service", Scope: listeners.Every}
	}
	base = &report.Report{
		Tool: report.Tool{Version: "0.1.0"}, Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Host: host.Facts{
			Hostname: "vm", Kernel: "6.1.0", Arch: "amd64", CPUs: []host.CPU{{Model: "Xeon"}, {Model: "Xeon", Number: 1}}, Virtualization: "kvm",
			ClockSource: "tsc", Sysctls: map[string]string{"net.core.somaxconn": "4096", "net.ipv4.tcp_rmem": "4096 131072 6291456", "net.old": "1"},
			Limits: map[string]host.Limit{"nofile": {Soft: 1024, Hard: 524288}},
		},
		Checks: []report.Check{
			{ID: "TCP-001", Suite: "tcp", Title: "echoes", State: check.Pass},
			{ID: "TCP-002", Suite: "tcp", Title: "closes", State: check.Warn},
			{ID: "TCP-003", Suite: "tcp", Title: "resets", State: check.Fail},
			{ID: "TCP-004", Suite: "tcp", Title: "waits", State: check.Pass},
			{ID: "TCP-005", Suite: "tcp", Title: "ends", State: check.Pass},
			{ID: "UDP-001", Suite: "udp", Title: "echoes", State: check.Pass},
		},
		Listeners: []listeners.Listener{listener(22, "sshd"), listener(80, "nginx")},
		Firewall: &report.Firewall{Maps: &firewall.Maps{Source: "web.nft", Maps: []firewall.Map{{Zone: "outside", Protocol: "tcp", Family: "ipv4", Ranges: []firewall.Range{
			{First: 0, Last: 65535, Verdict: verdict.Verdict{Action: verdict.Drop}, Rule: -1},
		}}}}},
		Benchmarks: []bench.Result{result(tcp, 14_000, 30), result(udp, 12_000, 30), result(unix, 9_000, 30), result(pipe, 7_000, 6), skipped},
	}
	changed := *base
	changed.Started = base.Started.Add(24 * time.Hour)
	changed.Host.Kernel, changed.Host.ClockSource = "6.18.44", "hpet"
	changed.Host.Sysctls = map[string]string{"net.core.somaxconn": "128", "net.ipv4.tcp_rmem": "4096 131072 6291456", "net.new": "0"}
	changed.Host.Limits = map[string]host.Limit{"nofile": {Soft: 4096, Hard: -1}}
	changed.Checks = []report.Check{
		{ID: "TCP-001", Suite: "tcp", Title: "echoes", State: check.Fail, Message: "no answer within 1s\nmore of it"},
		{ID: "TCP-002", Suite: "tcp", Title: "closes", State: check.Warn},
		{ID: "TCP-003", Suite: "tcp", Title: "resets", State: check.Pass},
		{ID: "TCP-004", Suite: "tcp", Title: "waits", State: check.Skip},
		{ID: "TCP-005", Suite: "tcp", Title: "ends", State: check.Warn, Message: "late"},
		{ID: "UDP-002", Suite: "udp", Title: "sends", State: check.Pass},
	}
	changed.Listeners = []listeners.Listener{listener(22, "sshd"), listener(8080, "node\x1b[31m")}
	changed.Firewall = &report.Firewall{Maps: &firewall.Maps{Source: "web.nft", Rules: []firewall.Rule{{Family: "inet", Table: "filter", Chain: "input", Text: "tcp dport 443 accept", File: "web.nft", Line: 4}}, Maps: []firewall.Map{{Zone: "outside", Protocol: "tcp", Family: "ipv4", Ranges: []firewall.Range{
		{First: 0, Last: 442, Verdict: verdict.Verdict{Action: verdict.Drop}, Rule: -1},
		{First: 443, Last: 443, Verdict: verdict.Verdict{Action: verdict.Accept}, Rule: 0},
		{First: 444, Last: 65535, Verdict: verdict.Verdict{Action: verdict.Drop}, Rule: -1},
	}}}}}
	changed.Benchmarks = []bench.Result{result(tcp, 16_100, 30), result(udp, 10_500, 30), result(unix, 9_010, 30), result(cross, 30_000, 6), result(icmp, 10_000, 6)}
	return base, &changed
}

func compared() *Comparison {
	base, after := pair()
	c := Reports(base, after, rules)
	c.Base.Source, c.New.Source = "base.json", "new.json"
	return c
}

func rendered(t testing.TB, write func(io.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	benchtest.Golden(t, *update, filepath.Join("testdata", name), got)
}

func TestText(t *testing.T) {
	text := rendered(t, Text(compared(), report.Style{Width: 80}))
	golden(t, "comparison.txt", text)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "\x1b") {
			t.Errorf("an escape reaches the terminal: %q", line)
		}
	}
}

func TestJSONFollowsItsSchema(t *testing.T) {
	document := rendered(t, JSON(compared()))
	golden(t, "comparison.json", document)
	if err := reporttest.CheckComparisons(document); err != nil {
		t.Error(err)
	}
}

// Where nothing differs every list is there and empty.
func TestAReportIsLikeItself(t *testing.T) {
	base, _ := pair()
	c := Reports(base, base, rules)
	if c.Verdict != judge.NoChange || len(c.Host)+len(c.Checks)+len(c.Listeners)+len(c.Settings)+len(c.Firewall.Changes) > 0 {
		t.Errorf("differs from itself: %s", rendered(t, Text(c, report.Style{})))
	}
	if err := reporttest.CheckComparisons(rendered(t, JSON(c))); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatFailsNowIsARegressionOfChecks(t *testing.T) {
	states := map[[2]check.State]judge.Verdict{
		{check.Pass, check.Fail}:         judge.Regression,
		{check.Warn, check.Fail}:         judge.Regression,
		{check.Skip, check.Fail}:         judge.Regression,
		{check.Fail, check.Fail}:         judge.NoChange,
		{check.Pass, check.Warn}:         judge.NoChange,
		{check.Pass, check.Skip}:         judge.NoChange,
		{check.Fail, check.Pass}:         judge.NoChange,
		{check.Pass, check.Inconclusive}: judge.NoChange,
	}
	for s, want := range states {
		of := func(state check.State) *report.Report {
			return &report.Report{Checks: []report.Check{{ID: "TCP-001", State: state}}}
		}
		if got := Reports(of(s[0]), of(s[1]), rules).Verdict; got != want {
			t.Errorf("%s, then %s: %s, want %s", s[0], s[1], got, want)
		}
	}
}

// What was not answered is neither better nor compared.
func TestWhatWasNotAnsweredIsNotBetter(t *testing.T) {
	states := []check.State{check.Fail, check.Fail, check.Warn, check.Pass, check.Skip, check.Fail}
	now := []check.State{check.Skip, check.Interrupted, check.Inconclusive, check.Interrupted, check.Pass, check.Warn}
	of := func(states []check.State) (r *report.Report) {
		r = &report.Report{}
		for i, state := range states {
			r.Checks = append(r.Checks, report.Check{ID: fmt.Sprintf("TCP-%03d", i+1), State: state})
		}
		return r
	}
	c := Reports(of(states), of(now), rules)
	for _, one := range c.Checks {
		if want := map[bool]Change{true: Better, false: Changed}[one.ID == "TCP-006"]; one.Change != want {
			t.Errorf("%s, then %s: %s, want %s", one.Base, one.New, one.Change, want)
		}
	}
	if want := "No regression. Compared: 1 check (0 worse, 1 better; 5 more not answered on both sides)."; c.Sentence() != want || len(c.Checks) != 6 {
		t.Errorf("%q of %d, want %q", c.Sentence(), len(c.Checks), want)
	}
}

// What one side was not asked is not compared.
func TestBenchmarksAloneHaveNoChecks(t *testing.T) {
	base, after := pair()
	after.Checks, after.Listeners, after.Host.Sysctls = nil, nil, nil
	c := Reports(base, after, rules)
	if len(c.Checks)+c.ChecksCompared+len(c.Listeners)+len(c.Settings) > 0 || len(c.Benchmarks) != 3 {
		t.Errorf("compared %s", rendered(t, Text(c, report.Style{})))
	}
	after.Benchmarks = after.Benchmarks[3:4]
	c = Reports(base, after, rules)
	after.Firewall, c.Firewall = nil, nil
	if err := c.Common(); err == nil || !strings.Contains(err.Error(), "of another placement") {
		t.Errorf("nothing in common: %v", err)
	}
}

// Figures that no machine measures are refused, and what is printed stays JSON.
func TestFiguresThatNoMachineMeasures(t *testing.T) {
	for _, p50 := range []float64{-1, 1e300, 1e-300} {
		base, after := pair()
		after.Benchmarks[0].Restarts[4].P50NS = p50
		c := Reports(base, after, rules)
		if !json.Valid(rendered(t, JSON(c))) || len(c.Benchmarks) != 2 || !strings.Contains(c.NotCompared[0].Reason, "no machine measures") {
			t.Errorf("%g: %+v", p50, c.NotCompared)
		}
	}
}

func TestWhatWasMeasuredInTurns(t *testing.T) {
	a, b := result(bench.Spec{}, 14_000, 30), result(bench.Spec{}, 16_000, 30)
	rounds := []bench.Comparison{{Kept: 30, Taint: map[string]int{}, Sides: []bench.Compared{{Name: a.Name, Restarts: a.Restarts}, {Name: b.Name, Restarts: b.Restarts}}}}
	c := Measured(Side{Source: "A"}, Side{Source: "B"}, rounds, nil, rules)
	if c.Verdict != judge.Regression || len(c.Rounds[0].Sides[1].Restarts) != 30 {
		t.Errorf("verdict %s of %+v", c.Verdict, c.Benchmarks)
	}
	if err := reporttest.CheckComparisons(rendered(t, JSON(c))); err != nil {
		t.Error(err)
	}
}
