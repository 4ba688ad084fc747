package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/bench/export"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// benchRun has results of each kind on the machine of the fixture.
func benchRun(t testing.TB, results []bench.Result) *BenchRun {
	r := fixture(t)
	return &BenchRun{
		Tool: r.Tool, Started: r.Started, Duration: 4900 * time.Millisecond, Command: []string{"loopcheck", "bench"},
		Host: r.Host, Noise: r.Noise, Dropped: []string{"op crr: raw over pipe has rr, stream, burst"}, Benchmarks: results,
	}
}

func TestBenchTextGolden(t *testing.T) {
	golden(t, "bench.txt", rendered(t, BenchText(benchRun(t, benchtest.Results()), Style{})))
	interrupted := benchRun(t, benchtest.Results())
	interrupted.Interrupted, interrupted.Host.ClockSource = true, "hpet"
	golden(t, "bench-colour.txt", rendered(t, BenchText(interrupted, Style{Color: true, Width: 100})))
	golden(t, "bench-sweep.txt", rendered(t, BenchText(benchRun(t, benchtest.Sweep()), Style{})))
}

// Where nobody saw both ends at once, no share of that is told.
func TestWhereFreeEndsWere(t *testing.T) {
	b := benchtest.Result(bench.Spec{Transport: bench.TCP}, 14_000, 12_000)
	b.Conditions.ClientCPUs, b.Conditions.ServerCPUs = map[int]int64{0: 3, 1: 1}, map[int]int64{1: 5}
	b.Conditions.Migrations = 2
	const each = "the client on CPU 0 75 %, CPU 1 25 %, the server on CPU 1 100 %, 2 migrations\n"
	for looks, want := range map[int64]string{0: "\n  " + each, 4: "\n  both ends were on one processor 25 % of the time, " + each} {
		b.Conditions.Together, b.Conditions.Looks = looks/4, looks
		if got := string(rendered(t, BenchText(benchRun(t, []bench.Result{b}), Style{Width: 140}))); !strings.Contains(got, want) {
			t.Errorf("%d looks: %s", looks, got)
		}
	}
}

func TestBenchTextFitsTheTerminal(t *testing.T) {
	results := append(benchtest.Results(), benchtest.Sweep()...)
	results[0].Name = strings.Repeat("long", 30)
	for _, width := range []int{76, 80, 132} {
		for line := range strings.Lines(string(rendered(t, BenchText(benchRun(t, results), Style{Width: width})))) {
			line = strings.TrimSuffix(line, "\n")
			if got := terminal.Columns(line); got > width {
				t.Errorf("at %d columns a line has %d: %q", width, got, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("blanks at the end of %q", line)
			}
		}
	}
}

func TestBenchTextWritesNoEscapeOfTheMachine(t *testing.T) {
	results := benchtest.Results()
	results[0].Name, results[1].Taint = hostile, map[string]int{hostile: 1}
	results[6].Skipped, results[5].Inconclusive = hostile, hostile
	run := benchRun(t, results)
	run.Dropped = []string{hostile}
	text := string(rendered(t, BenchText(run, Style{})))
	for _, r := range text {
		if terminal.Harmless(string(r)) != string(r) {
			t.Errorf("%U is written raw", r)
		}
	}
	// The header, a name, three texts of results, and a note.
	if n := strings.Count(text, `<script>alert(1)</script>`); n != 6 {
		t.Errorf("%d of 6 strings are shown:\n%s", n, text)
	}
}

// What is inconclusive is named and has no figures: neither on the terminal nor in
// the table of the page.
func TestInconclusiveIsNoNumber(t *testing.T) {
	r := benchtest.Result(bench.Spec{Transport: bench.TCP}, 123_000, 5_000)
	r.Inconclusive = "6 of 10 restarts are tainted: steal"
	text := string(rendered(t, BenchText(benchRun(t, []bench.Result{r}), Style{})))
	if !strings.Contains(text, "inconclusive: 6 of 10 restarts are tainted: steal") || strings.Contains(text, "µs") {
		t.Errorf("it is not named, or has a figure:\n%s", text)
	}
	if !strings.Contains(text, "0 benchmarks measured in 4.9 s, 1 inconclusive.") {
		t.Errorf("it counts as measured:\n%s", text)
	}
	whole := healthy(t)
	whole.Benchmarks = []bench.Result{r}
	_, section, _ := strings.Cut(string(rendered(t, HTML(whole))), `<table class="benchmarks">`)
	table, _, _ := strings.Cut(section, "</table>")
	if !strings.Contains(table, "inconclusive</span> 6 of 10 restarts are tainted: steal") || strings.Contains(table, "µs") {
		t.Errorf("the page does not name it, or has a figure:\n%s", table)
	}
}

func TestBenchNotes(t *testing.T) {
	plain := func(edit func(*bench.Result)) bench.Result {
		r := benchtest.Result(bench.Spec{Transport: bench.TCP, Placement: topology.SameLLC}, 20_000, 20_000)
		edit(&r)
		return r
	}
	for name, c := range map[string]struct {
		result bench.Result
		want   []string
	}{
		"nothing to say": {plain(func(*bench.Result) {}), nil},
		"not measured":   {bench.Result{Skipped: "needs Linux"}, nil},
		"all tainted": {plain(func(r *bench.Result) {
			r.Taint = map[string]int{"steal": 10}
			for i := range r.Restarts {
				r.Restarts[i].Taint = []string{"steal"}
			}
		}), []string{"every restart was tainted, so none is left out: steal 10"}},
		"some tainted": {plain(func(r *bench.Result) {
			r.Taint = map[string]int{"steal": 1, "gc": 1}
			r.Restarts[3].Taint = []string{"steal", "gc"}
		}), []string{"1 of 10 restarts tainted and left out: gc 1, steal 1"}},
		"few restarts": {
			plain(func(r *bench.Result) { r.Restarts, r.CI95.Confidence = r.Restarts[:4], 0.875 }),
			[]string{"the interval 19.6–20.6 µs holds with 87.5 %: 4 restarts are too few for 95 %"},
		},
		"figures of what is inconclusive": {plain(func(r *bench.Result) {
			r.Inconclusive, r.ModesNS, r.RateHz = "6 of 10 restarts are tainted: steal", []float64{14_000, 55_000}, 1000
			r.Service = map[string]float64{"p50_ns": 14_000}
		}), nil},
		"unsteady": {plain(func(r *bench.Result) { r.Conditions.Unsteady = 2 }), []string{"the warm-up of 2 of 10 restarts ended without becoming steady"}},
		"rate missed": {
			plain(func(r *bench.Result) { r.RateHz, r.RatePerS = 200_000, 69_812 }),
			[]string{"200,000/s were asked for, and 69,812/s reached: the response times tell of the queue"},
		},
		"lost":                   {plain(func(r *bench.Result) { r.Lost = 1 }), []string{"1 datagram without an answer, counted as the timeout"}},
		"stolen":                 {plain(func(r *bench.Result) { r.Conditions.Steal = 0.05 }), []string{"the hypervisor kept 5.00 % of the processor time"}},
		"waiting":                {plain(func(r *bench.Result) { r.Conditions.Waiting = 0.5 }), []string{"its own threads waited for a processor 50.0 % of the time"}},
		"waiting for each other": {plain(func(r *bench.Result) { r.Conditions.Waiting, r.Placement = 0.5, topology.SameCore }), nil},
		"collected":              {plain(func(r *bench.Result) { r.Conditions.Collections = 2 }), []string{"2 collections of garbage inside the windows"}},
		"counters": {
			plain(func(r *bench.Result) {
				r.Conditions.Counters = map[string]int64{"Tcp RetransSegs": 1234, "Tcp InSegs": 5}
			}),
			[]string{"in this network namespace the kernel counted Tcp RetransSegs 1,234"},
		},
		"two modes": {
			plain(func(r *bench.Result) { r.ModesNS = []float64{14_000, 55_000} }),
			[]string{"the distribution has 2 modes, at 14.0 µs, 55.0 µs: the median tells of none"},
		},
	} {
		if diff := cmp.Diff(c.want, benchCaveats(c.result)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Notes that hold for all benchmarks.
func TestBenchRunNotes(t *testing.T) {
	one := func() *BenchRun {
		return &BenchRun{Benchmarks: []bench.Result{benchtest.Result(bench.Spec{Transport: bench.TCP}, 14_000, 120_000)}}
	}
	for name, c := range map[string]struct {
		edit func(*BenchRun)
		want []benchNote
	}{
		"dropped":     {func(r *BenchRun) { r.Dropped = []string{"op crr: pipe has rr"} }, []benchNote{{true, "not measured: op crr: pipe has rr"}}},
		"time over":   {func(r *BenchRun) { r.Benchmarks[0].Ended = bench.EndedTime }, []benchNote{{true, "the time was over after 10 restarts of each: --duration gives more"}}},
		"slow clock":  {func(r *BenchRun) { r.Host.ClockSource = "hpet" }, []benchNote{{true, "the clock source is hpet, not tsc: a reading costs more, and may be coarse"}}},
		"good clock":  {func(r *BenchRun) { r.Host.ClockSource = "tsc" }, nil},
		"stolen time": {func(r *BenchRun) { r.Noise.Steal = 0.02 }, []benchNote{{true, "the hypervisor kept 2.00 % of the processor time while this was measured"}}},
		"few samples": {func(r *BenchRun) { delete(r.Benchmarks[0].Percentiles, "p99.99_ns") }, []benchNote{
			{false, "– is a percentile that the samples do not bear: p99.99 (takes 100,000 samples, which 1 of 1 have not)"},
		}},
	} {
		r := one()
		c.edit(r)
		got := r.notes()
		always := []benchNote{
			{false, "a sample holds one reading of the clock, which costs 27.5 ns"},
			{false, "± is the 95 % interval of the median over restarts; CPU and context switches are those of both ends"},
		}
		if diff := cmp.Diff(append(c.want, always...), []benchNote(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhereSeen(t *testing.T) {
	for want, cpus := range map[string]map[int]int64{
		"":                       nil,
		"CPU 3 100 %":            {3: 17},
		"CPU 1 75 %, CPU 0 25 %": {0: 1, 1: 3},
		"CPU 0 20 %, CPU 1 20 %, CPU 2 20 %, CPU 3 20 %, 1 more": {0: 1, 1: 1, 2: 1, 3: 1, 4: 1},
	} {
		if got := whereSeen(cpus); got != want {
			t.Errorf("%v: %q, want %q", cpus, got, want)
		}
	}
}

func TestSparklineShowsEverySample(t *testing.T) {
	if got := sparkline([]float64{0, 1, 500, 1000, 0, 250}); got != " ▁▅█ ▃" {
		t.Errorf("drawn as %q", got)
	}
}

func TestSweepsAreOfOneThing(t *testing.T) {
	var results []bench.Result
	for _, size := range []int{1, 64, 1400} {
		for _, transport := range []string{bench.TCP, bench.UDP} {
			results = append(results, benchtest.Result(bench.Spec{Transport: transport, SizeBytes: size}, 14_000, 1000))
		}
	}
	for _, rate := range []float64{1000, 2000} { // too few for a curve
		results = append(results, benchtest.Result(bench.Spec{Transport: bench.Pipe, RateHz: rate}, 14_000, 1000))
	}
	slices.Reverse(results)
	var got []string
	for _, s := range sweepsOf(results) {
		name := s.by.name + " " + s.of.Transport
		for _, b := range s.results {
			name += fmt.Sprintf(" %d", b.SizeBytes)
		}
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{"size udp 1 64 1400", "size tcp 1 64 1400"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHumanBytesRate(t *testing.T) {
	for v, want := range map[float64]string{0: "0 B/s", 999: "999 B/s", 1500: "1.50 kB/s", 2.5e6: "2.50 MB/s", 5.94e9: "5.94 GB/s", 999_999: "1.00 MB/s"} {
		if got := humanBytesRate(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}

// What is exported follows the schema, and is read again to the same.
func TestBenchRunFollowsTheSchema(t *testing.T) {
	for name, want := range map[string]*BenchRun{"all kinds": benchRun(t, benchtest.Results()), "nothing": {}} {
		document := rendered(t, export.JSON(want.Export()))
		if err := reporttest.CheckBench(document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(document, []byte("null")) {
			t.Errorf("%s: something that is empty is written as null", name)
		}
		var got BenchRun
		if err := json.Unmarshal(document, &got); err != nil {
			t.Fatal(err)
		}
		utf8 := rewritten(want, func(s string) string { return strings.ToValidUTF8(s, "\ufffd") })
		if diff := cmp.Diff(utf8, &got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The schema notices every key that is missing or misspelt at the top.
func TestBenchSchemaKnowsItsKeys(t *testing.T) {
	document := map[string]any{}
	if err := json.Unmarshal(rendered(t, export.JSON(benchRun(t, benchtest.Results()).Export())), &document); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		encoded, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		return reporttest.CheckBench(encoded)
	}
	for _, key := range slices.Sorted(maps.Keys(document)) {
		value := document[key]
		delete(document, key)
		if check() == nil {
			t.Errorf("%s may be left out", key)
		}
		document[key] = value
		document[key+"x"] = value
		if check() == nil {
			t.Errorf("%s may be misspelt", key)
		}
		delete(document, key+"x")
	}
}
