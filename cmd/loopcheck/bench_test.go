package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// Machines of one processor, of two cores, and one that does not tell.
var (
	oneProcessor  = topology.Topology{CPUs: []topology.CPU{{Number: 0}}}
	twoProcessors = topology.Topology{CPUs: []topology.CPU{{Number: 0, LLC: "0-1"}, {Number: 1, Core: 1, LLC: "0-1"}}}
	untold        = topology.Topology{}
)

// asked are what a command line chooses on a machine: names of benchmarks, and the
// plan.
func asked(t *testing.T, processors topology.Topology, args ...string) (names, dropped []string, plan bench.Plan, err error) {
	t.Helper()
	var o benchOptions
	cmd := benchCommand(&o)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	set := func(flag string) bool { return changed(cmd, flag) }
	if plan, err = o.plan(set); err != nil {
		return nil, nil, plan, err
	}
	specs, dropped, err := o.choice.specs(o.profile, set, processors)
	for _, s := range specs {
		names = append(names, s.WithDefaults().Name())
	}
	return names, dropped, plan, err
}

func TestBenchMeasuresEveryCombination(t *testing.T) {
	for args, c := range map[string]struct {
		processors topology.Topology
		want       []string
		dropped    []string
	}{
		"--transport tcp,udp --placement same-core --size 1,1400": {twoProcessors, []string{
			"tcp/rr/raw/same-core/1B", "udp/rr/raw/same-core/1B", "tcp/rr/raw/same-core/1400B", "udp/rr/raw/same-core/1400B",
		}, nil},
		"--size 1KiB,64K,1MiB --placement free":       {twoProcessors, []string{"tcp/rr/raw/free/1024B", "tcp/rr/raw/free/65536B", "tcp/rr/raw/free/1048576B"}, nil},
		"--transport http":                            {twoProcessors, []string{"http/rr/netconn/free/64B"}, nil},
		"--transport tcp":                             {twoProcessors, []string{"tcp/rr/raw/same-core/64B", "tcp/rr/raw/same-llc/64B"}, nil},
		"--transport udp":                             {oneProcessor, []string{"udp/rr/raw/same-core/64B"}, nil},
		"--transport unix":                            {untold, []string{"unix/rr/raw/free/64B"}, nil},
		"--placement cross-core,same-llc":             {twoProcessors, []string{"tcp/rr/raw/same-llc/64B"}, nil},
		"--rate 0,1000 --placement same-core":         {twoProcessors, []string{"tcp/rr/raw/same-core/64B", "tcp/rr/raw/same-core/64B/1000Hz"}, nil},
		"--op burst --outstanding 4 --placement free": {twoProcessors, []string{"tcp/burst/raw/free/64B/4out"}, nil},
		"--transport pipe,tcp --op crr --placement same-core": {
			twoProcessors,
			[]string{"tcp/crr/raw/same-core/64B"},
			[]string{"op crr: raw over pipe has rr, stream, burst"},
		},
		"--sweep flows --engine netconn": {twoProcessors, []string{
			"tcp/rr/netconn/free/64B", "tcp/rr/netconn/free/64B/2flows", "tcp/rr/netconn/free/64B/4flows", "tcp/rr/netconn/free/64B/8flows",
			"tcp/rr/netconn/free/64B/16flows", "tcp/rr/netconn/free/64B/32flows", "tcp/rr/netconn/free/64B/64flows",
			"tcp/rr/netconn/free/64B/128flows", "tcp/rr/netconn/free/64B/256flows",
		}, nil},
	} {
		names, dropped, _, err := asked(t, c.processors, strings.Fields(args)...)
		if err != nil {
			t.Errorf("%s: %v", args, err)
		}
		if diff := cmp.Diff(c.want, names) + cmp.Diff(c.dropped, dropped); diff != "" {
			t.Errorf("%s (-want +got):\n%s", args, diff)
		}
	}
}

// A sweep of sizes leaves out those that a transport cannot carry, and says so.
func TestBenchSweepsWhatFits(t *testing.T) {
	names, dropped, _, err := asked(t, oneProcessor, "--sweep", "size", "--transport", "udp")
	if err != nil || len(names) != 7 || names[6] != "udp/rr/raw/same-core/16384B" || len(dropped) != 3 {
		t.Errorf("%q, left out %q, %v", names, dropped, err)
	}
}

// Every profile holds benchmarks that there are, each once, on every machine.
func TestBenchProfilesAreMeasurable(t *testing.T) {
	for _, profile := range profileNames {
		for name, processors := range map[string]topology.Topology{"one": oneProcessor, "two": twoProcessors, "untold": untold} {
			var seen []string
			for _, s := range benchProfiles[profile].specs(processors) {
				s = s.WithDefaults()
				if err := s.Validate(); err != nil {
					t.Errorf("%s: %v", profile, err)
				}
				if _, err := processors.Pair(s.Placement); err != nil {
					t.Errorf("%s on %s: %v", profile, name, err)
				}
				if slices.Contains(seen, s.Name()) {
					t.Errorf("%s on %s has %s twice", profile, name, s.Name())
				}
				seen = append(seen, s.Name())
			}
			if len(seen) == 0 {
				t.Errorf("%s on %s is empty", profile, name)
			}
		}
	}
}

func TestBenchPlans(t *testing.T) {
	for args, want := range map[string]bench.Plan{
		"":                       {Restarts: 10, Window: 20 * time.Millisecond, Limit: 6 * time.Second},
		"--transport tcp":        {Restarts: 10, Window: 20 * time.Millisecond},
		"--rate 1000":            {Restarts: 10, Window: 150 * time.Millisecond},
		"--sweep rate":           {Restarts: 10, Window: 150 * time.Millisecond},
		"--profile standard":     {Restarts: 10, Window: 150 * time.Millisecond, Limit: 90 * time.Second},
		"--profile full":         {Restarts: 10, Window: 150 * time.Millisecond, Precision: 0.02, Limit: 10 * time.Minute},
		"--profile full --op rr": {Restarts: 10, Window: 150 * time.Millisecond, Precision: 0.02, Limit: 10 * time.Minute},
		"--precision 0.05":       {Restarts: 10, Window: 20 * time.Millisecond, Precision: 0.05, Limit: 10 * time.Minute},
		"--restarts 3 --window 5ms --precision 0.1 --duration 7s": {Restarts: 3, Window: 5 * time.Millisecond, Precision: 0.1, Limit: 7 * time.Second},
	} {
		_, _, got, err := asked(t, twoProcessors, strings.Fields(args)...)
		if err != nil {
			t.Errorf("%s: %v", args, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", args, diff)
		}
	}
}

func TestFailOnIsOfWhatHappened(t *testing.T) {
	results := []bench.Result{{Count: 1}, {Skipped: "needs Linux"}}
	for states, want := range map[string]error{"": nil, "inconclusive": nil, "skip": codeError(exitFailed), "inconclusive,skip": codeError(exitFailed)} {
		if got := (benchOptions{failOn: strings.Split(states, ",")}).verdict(results); got != want {
			t.Errorf("--fail-on %s: %v, want %v", states, got, want)
		}
	}
	results[0].Inconclusive = "6 of 10 restarts are tainted: steal"
	if got := (benchOptions{failOn: []string{"inconclusive"}}).verdict(results); got != codeError(exitFailed) {
		t.Errorf("--fail-on inconclusive: %v", got)
	}
}

func TestParseCount(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "64": 64, "64B": 64, "1K": 1024, "1KiB": 1024, "2M": 2 << 20, "1MiB": 1 << 20, "0": 0, "-3": -3} {
		if got, err := parseCount(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "1k", "1.5K", "1 K", "1KB", "999999999999999999999", "9999999M"} {
		if got, err := parseCount(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
