package bench

import (
	"context"
	"errors"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

// short is a plan of a few milliseconds, for tests that look at everything but
// the figures.
var short = Plan{Restarts: 1, Window: 5 * time.Millisecond}

// netSpecs are all that the engine measures, one of each.
func netSpecs() []Spec {
	var specs []Spec
	for _, transport := range Transports {
		for _, op := range abilities[transport][NetConn] {
			specs = append(specs, Spec{Transport: transport, Op: op, Engine: NetConn}.WithDefaults())
		}
	}
	return append(specs,
		Spec{Transport: TCP, Engine: NetConn, Flows: 3}.WithDefaults(),
		Spec{Transport: HTTP, Engine: NetConn, Flows: 2}.WithDefaults(),
		Spec{Transport: TLS, Engine: NetConn, Flows: 2}.WithDefaults(),
		Spec{Transport: UDP, Engine: NetConn, RateHz: 2000}.WithDefaults())
}

// openedNet opens an engine that the test closes.
func openedNet(t *testing.T, ctx context.Context, s Spec) *netEngine {
	t.Helper()
	processors := processorsOf(t, s)
	e, err := openNetConn(ctx, s, processors)
	if missing, ok := errors.AsType[*MissingError](err); ok {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e.(*netEngine)
}

func closeNet(t *testing.T, e engine) {
	t.Helper()
	if err := e.close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func TestNetConnMeasuresEverySize(t *testing.T) {
	for _, s := range netSpecs() {
		for _, size := range []int{1, 64, 9000, s.largest()} {
			s.SizeBytes = size
			if s.Op == Burst {
				s.SizeBytes = min(size, maxBurstBytes)
				s.Outstanding = min(MaxOutstanding, maxBurstBytes/s.SizeBytes)
			}
			t.Run(s.Name(), func(t *testing.T) {
				results, err := Measure(t.Context(), []Spec{s}, short)
				if err != nil {
					t.Fatal(err)
				}
				r := results[0]
				if r.Skipped != "" {
					t.Skip(r.Skipped)
				}
				if r.Count < 1 || r.Restarts[0].Duration < short.Window || r.MeanNS <= 0 || r.RatePerS <= 0 {
					t.Errorf("%d samples in %v, mean %v ns, %v/s", r.Count, r.Restarts[0].Duration, r.MeanNS, r.RatePerS)
				}
				if s.Op == Burst && r.Count%int64(s.Outstanding) != 0 {
					t.Errorf("%d samples of bursts of %d", r.Count, s.Outstanding)
				}
				if bytes := r.BytesPerS * r.Restarts[0].Duration.Seconds(); s.Op == Stream && (bytes < float64(size)*0.999 || bytes > float64(r.Count)*float64(size)*1.001) {
					t.Errorf("%.0f bytes arrived of %d writes of %d", bytes, r.Count, size)
				}
				if r.CPUNSPerOp <= 0 {
					t.Errorf("both ends used %v ns of processor time", r.CPUNSPerOp)
				}
			})
		}
	}
}

// A sample must cost no memory: what is allocated is collected sooner or later,
// and that would be in the figures.
func TestANetConnRoundTripAllocatesNothing(t *testing.T) {
	for _, s := range netSpecs() {
		if s.Op != RR || s.RateHz > 0 || s.Transport == HTTP || s.Transport == TLS {
			continue
		}
		t.Run(s.Name(), func(t *testing.T) {
			e := openedNet(t, t.Context(), s)
			defer closeNet(t, e)
			m := newMeter(t)
			// Enough of them that a stray one of the runtime's does not count.
			const trips = 2000
			if err := e.run(m, 0); err != nil {
				t.Fatal(err)
			}
			m.reset()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for m.hist.TotalCount() < trips {
				if err := e.run(m, 50*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > trips/10 {
				t.Errorf("%d allocations in %d round trips", n, m.hist.TotalCount())
			}
		})
	}
}

func TestTheContextEndsNetConn(t *testing.T) { endWithTheContext(t, netSpecs()) }

// endWithTheContext expects that the end of the context ends each benchmark amid its
// window, and is what its error says.
func endWithTheContext(t *testing.T, specs []Spec) {
	t.Helper()
	for _, s := range specs {
		t.Run(s.Name(), func(t *testing.T) {
			stopped := errors.New("stopped by the test")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			plan := Plan{Restarts: 1, Window: time.Hour} // would outlast the test
			plan.Progress = func(Progress) { t.Error("the window ended") }
			timer := time.AfterFunc(50*time.Millisecond, func() { cancel(stopped) })
			defer timer.Stop()
			results, err := Measure(ctx, []Spec{s}, plan)
			if len(results) > 0 && results[0].Skipped != "" {
				t.Skip(results[0].Skipped)
			}
			if !errors.Is(err, stopped) {
				t.Errorf("error is %v, want the cause of the cancellation", err)
			}
		})
	}
}

func TestStrangersDoNotDisturb(t *testing.T) {
	for _, s := range []Spec{{Transport: TCP}, {Transport: TCP, Op: Connect}, {Transport: UDP}, {Transport: HTTP}, {Transport: TLS}} {
		s.Engine = NetConn
		s = s.WithDefaults()
		t.Run(s.Name(), func(t *testing.T) {
			e := openedNet(t, t.Context(), s)
			defer closeNet(t, e)
			stranger, err := net.Dial(network(s.Transport), e.server.hello.Addresses[0])
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			if _, err := stranger.Write([]byte("what is this?")); err != nil {
				t.Fatal(err)
			}
			if err := e.run(newMeter(t), 5*time.Millisecond); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheCollectorIsSetAsBefore(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	limit := debug.SetMemoryLimit(-1)
	var together sync.WaitGroup
	for range 3 {
		together.Go(func() {
			if _, err := Measure(t.Context(), []Spec{{Transport: UDP, Engine: NetConn}}, short); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	if percent := debug.SetGCPercent(77); percent != 77 {
		t.Errorf("GC percent is %d after three benchmarks, want 77 as before", percent)
	}
	if now := debug.SetMemoryLimit(-1); now != limit {
		t.Errorf("the memory limit is %d after three benchmarks, want %d as before", now, limit)
	}
}

func TestTheContextEndsTheWaitForItsTurn(t *testing.T) {
	turn <- struct{}{}
	defer func() { <-turn }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, []Spec{{Transport: TCP, Engine: NetConn}}, short); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	g := gomega.NewWithT(t)
	before := gleak.Goroutines()
	if _, err := Measure(t.Context(), netSpecs(), short); err != nil {
		t.Error(err)
	}
	for _, s := range netSpecs() {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(30*time.Millisecond, cancel)
		if _, err := Measure(ctx, []Spec{s}, Plan{Restarts: 1, Window: time.Hour}); err == nil {
			t.Log(s.Name(), "is not measured here")
		}
		timer.Stop()
		cancel()
	}
	g.Eventually(gleak.Goroutines).WithTimeout(10 * time.Second).ShouldNot(gleak.HaveLeaked(before))
}
