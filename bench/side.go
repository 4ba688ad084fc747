package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
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
