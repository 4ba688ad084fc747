package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// Side is something whose restarts can be compared with those of others: a
// benchmark of this package, another program, the same program built otherwise.
type Side interface {
	Name() string
	// Processors are those it runs on; none where it may run on any.
	Processors() []int
	// Restart measures once over fresh sockets. When it returns, what it started has
	// ended, and processes are waited for: the time they ran for counts as somebody
	// else's otherwise. Figures that are not known are 0.
	Restart(ctx context.Context, round int) (Restart, error)
}

// benchmarkSide is a benchmark of this package.
type benchmarkSide struct {
	*benchmark
	length time.Duration
	window window
}

// NewSide makes a side of a benchmark, of which each restart has a warm-up and a
// window of that length. It fails with a *SpecError or a
// *topology.UnavailableError. A restart fails with a *MissingError where this
// machine lacks something for it.
func NewSide(s Spec, length time.Duration) (Side, error) {
	if length <= 0 {
		return nil, fmt.Errorf("a window of %v: write one that is longer than 0", length)
	}
	b, err := newBenchmarks([]Spec{s})
	if err != nil {
		return nil, err
	}
	return &benchmarkSide{benchmark: b.all[0], length: length, window: b.window}, nil
}

// Holder opens something that is held beside a benchmark while it is measured, and
// returns what closes it.
type Holder func(context.Context) (release func(), err error)

// NewSideBeside is NewSide of a benchmark with something held beside it. Hold is
// called twice a restart, before its sockets are opened and after, so that what
// looks through a list from either end has to pass what is held.
func NewSideBeside(s Spec, length time.Duration, hold Holder) (Side, error) {
	side, err := NewSide(s, length)
	if err != nil {
		return nil, err
	}
	b := side.(*benchmarkSide).benchmark
	b.open = hold.beside(b.open)
	return side, nil
}

func (hold Holder) beside(open opener) opener {
	return func(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
		before, err := hold(ctx)
		if err != nil {
			return nil, err
		}
		e, err := open(ctx, s, pair)
		if err != nil {
			before()
			return nil, err
		}
		after, err := hold(ctx)
		if err != nil {
			before()
			return nil, errors.Join(err, e.close())
		}
		return &held{engine: e, release: func() { before(); after() }}, nil
	}
}

// held is an engine beside something that is closed with it.
type held struct {
	engine
	release func()
}

func (h *held) close() error {
	defer h.release()
	return h.engine.close()
}

// Name is that of the Spec, with the placement that was found for it.
func (s *benchmarkSide) Name() string { return s.tally.spec.Name() }

func (s *benchmarkSide) Processors() []int { return s.pair.Processors() }

func (s *benchmarkSide) Restart(ctx context.Context, round int) (Restart, error) {
	done, err := takeTurn(ctx)
	if err != nil {
		return Restart{}, err
	}
	defer done()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	w := &s.window
	w.round = round
	if err := s.place(func() error { return s.benchmark.restart(ctx, s.length, w) }); err != nil {
		return Restart{}, err
	}
	r := w.restart()
	r.Taint = slices.Clone(r.Taint)
	return r, nil
}
