package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
	"golang.org/x/sys/unix"
)

// rawSpecs are all that both raw engines measure, one of each.
func rawSpecs() []Spec {
	var specs []Spec
	for _, transport := range Transports {
		for _, engine := range []string{Raw, RawSpin} {
			for _, op := range abilities[transport][engine] {
				specs = append(specs, Spec{Transport: transport, Op: op, Engine: engine}.WithDefaults())
			}
		}
		if transport != Pipe && abilities[transport][Raw] != nil && transport != ICMP && transport != ICMP6 {
			specs = append(specs, Spec{Transport: transport, Engine: Raw, Flows: 5}.WithDefaults())
		}
	}
	return specs
}

func TestRawMeasuresEverySize(t *testing.T) {
	for _, s := range rawSpecs() {
		for _, size := range []int{1, 64, 9000, s.largest()} {
			s.SizeBytes = size
			if s.Op == Burst {
				s.SizeBytes = min(size, maxBurstBytes)
				s.Outstanding = min(20, maxBurstBytes/s.SizeBytes)
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
				if r.Count < 1 || r.MeanNS <= 0 || r.RatePerS <= 0 {
					t.Errorf("%d samples in %v, mean %v ns, %v/s", r.Count, r.Restarts[0].Duration, r.MeanNS, r.RatePerS)
				}
				if s.Op == Burst && r.Count%int64(s.Outstanding) != 0 {
					t.Errorf("%d samples of bursts of %d", r.Count, s.Outstanding)
				}
				if s.Op == Stream {
					bytes := r.BytesPerS * r.Restarts[0].Duration.Seconds()
					if want := float64(r.Count-r.Lost) * float64(size); bytes < want*0.999 || bytes > want*1.001 {
						t.Errorf("%.0f bytes arrived of %d writes of %d, of which %d were lost", bytes, r.Count, size, r.Lost)
					}
				} else if r.Lost > 0 {
					t.Logf("%d of %d lost", r.Lost, r.Count)
				}
			})
		}
	}
}

func TestTheContextEndsRaw(t *testing.T) { endWithTheContext(t, rawSpecs()) }

// onRaw opens an engine where its client belongs, on any processor, and closes it
// after use.
func onRaw(t *testing.T, s Spec, use func(e *rawEngine) error) error {
	t.Helper()
	var missing *MissingError
	err := placed(s, anywhere, func() error {
		e, err := openRaw(t.Context(), s, anywhere)
		if errors.As(err, &missing) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(use(e.(*rawEngine)), e.close())
	})
	if missing != nil {
		t.Skip(missing)
	}
	return err
}

func TestRawAllocatesNothing(t *testing.T) {
	for _, s := range rawSpecs() {
		t.Run(s.Name(), func(t *testing.T) {
			err := onRaw(t, s, func(e *rawEngine) error {
				m := newMeter(t)
				if err := e.run(m, time.Millisecond); err != nil {
					return err
				}
				// A run may allocate, for its timer, whatever number it measures.
				const trips, aRun, stray = 500, 5, 20
				m.reset()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				runs, err := 0, error(nil)
				for ; err == nil && m.hist.TotalCount() < trips; runs++ {
					err = e.run(m, 10*time.Millisecond)
				}
				runtime.ReadMemStats(&after)
				if n := after.Mallocs - before.Mallocs; n > uint64(stray+aRun*runs) {
					t.Errorf("%d allocations in %d samples", n, m.hist.TotalCount())
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// asleep says whether a thread of this process waits in the kernel.
func asleep(tid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(state, "S")
}

// Blocked ends must not hold up a collection, however silent the peer is.
func TestACollectionPassesWhileAnEndWaits(t *testing.T) {
	for _, transport := range []string{TCP, UDP, Unix, UnixGram, Pipe} {
		t.Run(transport, func(t *testing.T) {
			defer enoughProcessors()()
			r := newRaw(t.Context(), Spec{Transport: transport}.WithDefaults())
			client, server, err := r.pair()
			if err != nil {
				t.Fatal(err)
			}
			threads := make(chan int, 2)
			wait := func(e *rawEnd) func() error {
				return func() error {
					threads <- unix.Gettid()
					_, err := e.receive(make([]byte, 1), 0)
					return err
				}
			}
			if err := r.serve(-1, wait(server)); err != nil {
				t.Fatal(err)
			}
			other := &raw{spec: r.spec, stop: r.stop}
			if err := other.serve(-1, wait(client)); err != nil {
				t.Fatal(err)
			}
			g := gomega.NewWithT(t)
			for range 2 {
				tid := <-threads
				g.Eventually(func() bool { return asleep(tid) }).WithTimeout(deathTimeout).Should(gomega.BeTrue())
			}
			collected := make(chan struct{})
			go func() {
				runtime.GC()
				close(collected)
			}()
			g.Eventually(collected).WithTimeout(deathTimeout).Should(gomega.BeClosed())
			if err := errors.Join(r.close(), <-other.served); err != nil {
				t.Error(err)
			}
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestRawLeavesNothingBehind(t *testing.T) {
	g := gomega.NewWithT(t)
	if _, err := Measure(t.Context(), []Spec{{Transport: TCP6}}, short); err != nil { // opens what the runtime keeps
		t.Fatal(err)
	}
	before, files := gleak.Goroutines(), openFiles(t)
	for _, s := range rawSpecs() {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(5*time.Millisecond, cancel)
		results, err := Measure(ctx, []Spec{s}, Plan{Restarts: 1, Window: time.Hour})
		if err == nil && results[0].Skipped == "" {
			t.Errorf("%s outlived its context", s.Name())
		}
		timer.Stop()
		cancel()
	}
	g.Eventually(gleak.Goroutines).WithTimeout(deathTimeout).ShouldNot(gleak.HaveLeaked(before))
	// What another test forgot may be collected meanwhile.
	if now := openFiles(t); now > files {
		t.Errorf("%d files are open, and were %d before", now, files)
	}
}

// Recording a sample costs 20 ns at most, of processor time: on a busy machine the
// time on the clock says little.
func BenchmarkRecord(b *testing.B) {
	m := &meter{hist: newHistogram()}
	took := time.Duration(0)
	before := readUsage()
	for b.Loop() {
		took = (took*5 + 12345) & 0xffff // as far apart as the samples of a window are
		if err := m.record(took); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(readUsage().sub(before).CPU.Nanoseconds())/float64(b.N), "cpu-ns/op")
}
