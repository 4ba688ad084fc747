package bench

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// heap is what lives on it.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What is kept of restarts is their figures, and of their samples histograms of one
// size: of an hour of windows of 20 ms, which would be 180,000 if nothing went
// before each, with the result some 55 MB.
func TestRestartsAreKeptSmall(t *testing.T) {
	const (
		restarts = 20_000
		// each is a Restart of 136 bytes, with a reason now and then, and what a slice
		// that grows keeps in reserve.
		each = 180
		// more is once more the restarts, in the result, and its histogram.
		more = 160*restarts + 64<<10
	)
	w := newWindow()
	w.elapsed = 20 * time.Millisecond
	before := heap()
	tally := newTally(Spec{Transport: TCP, Placement: topology.SameCore}.WithDefaults())
	empty := heap() - before
	for round := range restarts {
		w.reset()
		w.round, w.elapsed, w.taint = round, 20*time.Millisecond, nil
		if err := w.record(time.Duration(5000 + round%100)); err != nil {
			t.Fatal(err)
		}
		if round%10 == 0 {
			w.taint = append([]string(nil), TaintSteal)
		}
		if err := tally.add(&w); err != nil {
			t.Fatal(err)
		}
	}
	kept := heap() - before
	if grown := (kept - empty) / restarts; grown > each {
		t.Errorf("each restart keeps %d bytes, want at most %d", grown, each)
	}
	r, err := tally.result()
	if err != nil {
		t.Fatal(err)
	}
	if grown := heap() - before - kept; grown > more {
		t.Errorf("the result takes %d bytes, want at most %d", grown, more)
	}
	if len(r.Restarts) != restarts || r.Taint[TaintSteal] != restarts/10 || r.Count != restarts*9/10 || len(r.Histogram) > 10_000 {
		t.Errorf("%d restarts, %d of them tainted, %d samples in a histogram of %d bytes", len(r.Restarts), r.Taint[TaintSteal], r.Count, len(r.Histogram))
	}
	runtime.KeepAlive(tally)
}

// raws are benchmarks whose every restart has fresh sockets and threads.
func raws(tb testing.TB) *benchmarks {
	tb.Helper()
	b, err := newBenchmarks([]Spec{{Transport: TCP, Placement: topology.SameCore}, {Transport: UDP, Placement: topology.SameCore}})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func entries(tb testing.TB, folder string) int {
	tb.Helper()
	all, err := os.ReadDir(folder)
	if err != nil {
		tb.Fatal(err)
	}
	return len(all)
}

// Sockets, threads and memory of a restart are gone with it.
func TestRestartsLeaveNothing(t *testing.T) {
	const restarts = 40
	b := raws(t)
	round := func(n int) {
		for i := range n {
			for _, one := range b.all {
				if err := b.turn(t.Context(), one, i, Plan{Window: time.Millisecond}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	round(5) // what is made once is there
	files, threads, before := entries(t, "/proc/self/fd"), entries(t, "/proc/self/task"), heap()
	round(restarts)
	if now := entries(t, "/proc/self/fd"); now > files {
		t.Errorf("%d files are open, of %d before %d restarts", now, files, 2*restarts)
	}
	if now := entries(t, "/proc/self/task"); now > threads+restarts/4 {
		t.Errorf("there are %d threads, of %d before %d restarts", now, threads, 2*restarts)
	}
	const each = 2 << 10 // with what is not of the restarts
	if grown := (heap() - before) / (2 * restarts); grown > each {
		t.Errorf("each restart keeps %d bytes, want at most %d", grown, each)
	}
	runtime.KeepAlive(b)
}

// BenchmarkRestart makes restarts with the shortest of windows, thousands with
// -benchtime 3000x, and tells what each keeps.
func BenchmarkRestart(b *testing.B) {
	all := raws(b)
	made := 0
	before := heap()
	for b.Loop() {
		if err := all.turn(b.Context(), all.all[0], made, Plan{Window: time.Millisecond}); err != nil {
			b.Fatal(err)
		}
		made++
	}
	b.ReportMetric(float64(heap()-before)/float64(made), "kept-B/op")
	runtime.KeepAlive(all)
}
