package bench

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

func TestLadder(t *testing.T) {
	ladders, err := MeasureLadder(t.Context(), LadderPlan{Restarts: 2, Window: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(ladders) == 0 || ladders[0].Placement != topology.SameCore {
		t.Fatalf("%+v", ladders)
	}
	for _, l := range ladders {
		for i, s := range l.Steps {
			if s.Name != rungs[i].name || s.What == "" {
				t.Errorf("step %d is %+v", i, s)
			}
			if s.Result.Placement != l.Placement {
				t.Errorf("%s was measured on %s, want %s", s.Name, s.Result.Placement, l.Placement)
			}
			raw := s.Result.Engine == Raw
			switch {
			case s.Result.Skipped != "" && raw:
				t.Errorf("%s: %s", s.Name, s.Result.Skipped)
			case s.Result.Skipped != "":
			case s.Result.MedianNS <= 0 || s.Result.Count == 0 || len(s.Result.Restarts) != 2:
				t.Errorf("%s: %+v", s.Name, s.Result)
			case rungs[i].over != "" && (s.Adds == nil || s.Adds.Rounds == 0 || s.BaseNS <= 0):
				t.Errorf("%s is held against nothing: %+v", s.Name, s)
			}
		}
	}
}

func TestStepsAllocateNothing(t *testing.T) {
	pair := topology.Pair{Placement: topology.Free, Client: -1, Server: -1}
	for name, how := range map[string]opener{stepClock: openClock, stepSyscall: openSyscall, stepWakeUp: openFutex} {
		s := Spec{Transport: name, Op: RR, Engine: Raw}.WithDefaults()
		err := placed(s, pair, func() error {
			e, err := how(t.Context(), s, pair)
			if err != nil {
				return err
			}
			m := newMeter(t)
			var before, after runtime.MemStats
			err = e.run(m, time.Millisecond)
			runtime.ReadMemStats(&before)
			err = errors.Join(err, e.run(m, 20*time.Millisecond))
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > 20 {
				t.Errorf("%s: %d allocations in %d samples", name, n, m.hist.TotalCount())
			}
			return errors.Join(err, e.close())
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLaddersThatCannotBe(t *testing.T) {
	for _, p := range []topology.Placement{"moon", ""} {
		_, err := MeasureLadder(t.Context(), LadderPlan{Placements: []topology.Placement{topology.SameCore, p}})
		if _, wrong := errors.AsType[*SpecError](err); !wrong {
			t.Errorf("%q: error is %v", p, err)
		}
	}
	all, err := topology.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range topology.Asked {
		if p == topology.CrossCore || slices.Contains(all.Placements(), p) {
			continue
		}
		_, err := MeasureLadder(t.Context(), LadderPlan{Placements: []topology.Placement{p}})
		if _, absent := errors.AsType[*topology.UnavailableError](err); !absent {
			t.Errorf("%s: error is %v", p, err)
		}
	}
}

func TestALadderOfAPairIsMeasuredOnce(t *testing.T) {
	pairs, err := ladderPairs([]topology.Placement{topology.SameCore, topology.Free, topology.SameCore})
	if err != nil {
		t.Fatal(err)
	}
	if len(pairs) != 2 || pairs[0].Placement != topology.SameCore || pairs[1].Placement != topology.Free {
		t.Errorf("pairs are %+v", pairs)
	}
}

// What cannot be opened leaves the rest standing.
func TestAStepThatDoesNotOpenIsSkipped(t *testing.T) {
	b := &benchmarks{window: newWindow()}
	s := Spec{Transport: TCP}.WithDefaults()
	pair := topology.Pair{Placement: topology.Free, Client: -1, Server: -1}
	b.add(s, pair, skipping(func(context.Context, Spec, topology.Pair) (engine, error) { return nil, errors.New("refused") }))
	b.add(s, pair, skipping(nil))
	results, err := b.measure(t.Context(), Plan{Restarts: 1, Window: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Skipped != "needs two ends that open: refused" || results[1].Count == 0 {
		t.Errorf("%+v", results)
	}
}

func TestAnInterruptedLadderHoldsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ladders, err := MeasureLadder(ctx, LadderPlan{Restarts: 1000, Window: time.Millisecond, Progress: func(p Progress) {
		if p.Index == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(ladders) == 0 {
		t.Fatalf("%v, %+v", err, ladders)
	}
	for i, s := range ladders[0].Steps[:4] {
		if s.Result.MedianNS <= 0 {
			t.Errorf("step %d was over, and is %+v", i, s)
		}
	}
	if s := ladders[0].Steps[4]; s.Result.MedianNS != 0 || s.Adds != nil {
		t.Errorf("a step that was not measured is %+v", s)
	}
}

// A futex that nobody answers ends with the context, and so does a server that
// nobody asks.
func TestTheEndOfTheContextEndsAFutex(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := Spec{Transport: "futex"}
	asked, err := openFutex(ctx, s, topology.Pair{Client: -1, Server: -1})
	if err != nil {
		t.Fatal(err)
	}
	f := &futex{newRaw(ctx, s), &word{}, &word{}}
	alone := &rawEngine{f.raw, oneByOneOf(s, f)}
	ended := make(chan error, 1)
	go func() {
		m := &meter{ctx: ctx, clock: time.Now(), hist: newHistogram()}
		ended <- alone.run(m, time.Hour)
	}()
	for f.to.value.Load() == 0 { // it waits for an answer next
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
	for _, e := range []engine{alone, asked} {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}
}
