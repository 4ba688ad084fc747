package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// built is the floor, or a skip for want of a compiler.
func built(t *testing.T) *floorBuild {
	t.Helper()
	f := newFloor(t.TempDir())
	err := f.build(t.Context(), "../testdata/floor.c")
	if errors.Is(err, errNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFloorHasNoWarnings(t *testing.T) {
	f := built(t)
	compiler, err := findCompiler()
	if err != nil {
		t.Fatal(err)
	}
	for _, optimized := range []string{"-O0", "-O2", "-O3"} {
		args := []string{"-std=gnu11", optimized, "-Wall", "-Wextra", "-Wshadow", "-Werror", "-pthread", "-o", f.path, "../testdata/floor.c"}
		if out, err := exec.CommandContext(t.Context(), compiler, args...).CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", compiler, strings.Join(args, " "), err, out)
		}
	}
}

// What it says it did, the kernel counted.
func TestFloorMeasures(t *testing.T) {
	f := built(t)
	for _, c := range []struct {
		transport, op string
		size          int
		moved         []string // by as many as there were round trips, at least
	}{
		{bench.TCP, bench.RR, 1, []string{"Tcp InSegs"}},
		{bench.TCP, bench.RR, 1400, []string{"Tcp InSegs"}},
		{bench.UDP, bench.RR, 1, []string{"Udp InDatagrams"}},
		{bench.UDP, bench.RR, 1400, []string{"Udp InDatagrams"}},
		{bench.TCP, bench.CRR, 1, []string{"Tcp ActiveOpens", "Tcp PassiveOpens", "Tcp OutRsts"}},
	} {
		for _, placement := range placements {
			j := jobOf(c.transport, c.op, c.size)
			j.window = 50 * time.Millisecond
			t.Run(c.transport+" "+c.op+" "+string(placement), func(t *testing.T) {
				j.pair = pairOrSkip(t, placement)
				s, err := newPeerSide(floorPeer(floorName, f.path), j)
				if err != nil {
					t.Fatal(err)
				}
				before := snapshot(t)
				r, err := s.Restart(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				moved := snapshot(t).Sub(before)
				if r.P50NS <= 0 {
					t.Errorf("%+v has no percentiles", r)
				}
				for _, name := range c.moved {
					group, counter, _ := strings.Cut(name, " ")
					if n := moved[group][counter]; n < r.Count {
						t.Errorf("it says that it made %d round trips, of which the kernel counted %d in %s", r.Count, n, name)
					}
				}
			})
		}
	}
}

func snapshot(t *testing.T) counters.Snapshot {
	t.Helper()
	s, err := counters.Read()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pairOrSkip(t *testing.T, p topology.Placement) topology.Pair {
	t.Helper()
	processors, err := topology.Read()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := processors.Pair(p)
	var unavailable *topology.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestFloorRefuses(t *testing.T) {
	f := built(t)
	for _, args := range []string{"", "rr tcp 1 10 0", "crr udp 1 10 0 0", "rr tcp 0 10 0 0", "rr udp 1 0 0 0", "rr sctp 1 10 0 0", "connect tcp 1 10 0 0"} {
		out, err := exec.CommandContext(t.Context(), f.path, strings.Fields(args)...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || strings.Count(string(out), "\n") != 1 {
			t.Errorf("floor %s: %v, printed %q; want exit 2 and one line", args, err, out)
		}
	}
}

func TestNoCompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CC", "")
	if err := newFloor(t.TempDir()).build(t.Context(), "../testdata/floor.c"); !errors.Is(err, errNoCompiler) {
		t.Errorf("error is %v, want that there is no compiler", err)
	}
}

func TestSourceThatDoesNotCompile(t *testing.T) {
	built(t)
	for source, want := range map[string]string{
		filepath.Join(t.TempDir(), "floor.c"): "no such file or directory: run this at the top of the repository",
		"play_linux_test.go":                  "-O2 -pthread -o",
	} {
		if err := newFloor(t.TempDir()).build(t.Context(), source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q", source, err, want)
		}
	}
}

// Those of the peers that Debian has, as they are.
func TestInstalledPeers(t *testing.T) {
	for name, c := range map[string]struct {
		peer               *peer
		job                job
		percentiles, bytes bool // that it tells
	}{
		"sockperf tcp": {sockperf(bench.TCP), jobOf(bench.TCP, bench.RR, sockperfBytes), true, false},
		"sockperf udp": {sockperf(bench.UDP), jobOf(bench.UDP, bench.RR, sockperfBytes), true, false},
		"qperf tcp":    {qperf(), jobOf(bench.TCP, bench.RR, 1), false, false},
		"qperf udp":    {qperf(), jobOf(bench.UDP, bench.RR, 1400), false, false},
		"iperf3":       {iperf3(), jobOf(bench.TCP, bench.Stream, bench.DefaultStreamBytes), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its own second
			c.job.pair = pairOrSkip(t, topology.SameCore)
			s, err := newPeerSide(c.peer, c.job)
			var absent *notInstalledError
			if errors.As(err, &absent) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Restart(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if (r.P99NS > 0) != c.percentiles || (r.BytesPerS > 0) != c.bytes {
				t.Errorf("it tells %+v, want percentiles: %v, bytes: %v", r, c.percentiles, c.bytes)
			}
		})
	}
}
