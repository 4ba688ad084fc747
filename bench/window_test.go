package bench

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"
)

var errUnreadable = errors.New("unreadable")

// scripted is an engine without sockets.
type scripted struct {
	trips    []uint64
	collects bool // runs the garbage collector in a round trip
	fails    error
	closed   *int
}

func (s *scripted) roundTrip(sequence uint64) error {
	s.trips = append(s.trips, sequence)
	if s.collects {
		runtime.GC()
	}
	return s.fails
}

func (s *scripted) verify(uint64) error { return nil }

func (s *scripted) keepWaiting() error { return nil }

func (s *scripted) close() error {
	*s.closed++
	return nil
}

func TestSequenceNumbersAreNeverUsedTwice(t *testing.T) {
	var engines []*scripted
	closed := 0
	windows, err := run(t.Context(), schedule{restarts: 3, warmup: 1, duration: 1}, func(context.Context) (engine, error) {
		e := &scripted{closed: &closed}
		engines = append(engines, e)
		return e, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(engines) != 3 || closed != 3 {
		t.Errorf("%d engines opened and %d closed, want 3 and 3", len(engines), closed)
	}
	var used []uint64
	var samples int64
	for i, e := range engines {
		used = append(used, e.trips...)
		samples += windows[i].hist.TotalCount()
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(used))); len(unique) != len(used) {
		t.Errorf("sequence numbers are %v, want each once", used)
	}
	if samples >= int64(len(used)) || samples < 3 {
		t.Errorf("%d samples of %d round trips, want one a window at least and none of a warm-up", samples, len(used))
	}
}

func TestACollectionInsideTaints(t *testing.T) {
	closed := 0
	windows, err := run(t.Context(), schedule{restarts: 1, warmup: 1, duration: 1}, func(context.Context) (engine, error) {
		return &scripted{closed: &closed, collects: true}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(windows[0].taint, TaintGC) {
		t.Errorf("taint is %v, want %q among it", windows[0].taint, TaintGC)
	}
}

func TestAFailedRoundTripEndsTheRunAndClosesItsEngine(t *testing.T) {
	broken := errors.New("broken")
	closed := 0
	_, err := run(t.Context(), schedule{restarts: 5, warmup: 1, duration: time.Hour}, func(context.Context) (engine, error) {
		return &scripted{closed: &closed, fails: broken}, nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
	if closed != 1 {
		t.Errorf("%d engines closed, want the one that was opened", closed)
	}
}

func TestAnEngineThatCannotBeOpenedEndsTheRun(t *testing.T) {
	_, err := run(t.Context(), schedule{restarts: 5, duration: 1}, func(context.Context) (engine, error) {
		return nil, errUnreadable
	})
	if !errors.Is(err, errUnreadable) {
		t.Errorf("error is %v, want %v", err, errUnreadable)
	}
}
