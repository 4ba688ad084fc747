package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// ruledSide is a benchmark in network namespaces of its own that have rules.
type ruledSide struct {
	order sideOrder
	rules *ruleset.File
}

// sideOrder is the restart that a sandbox is asked for.
type sideOrder struct {
	Spec   Spec          `json:"spec"`
	Pair   topology.Pair `json:"pair"`
	Length time.Duration `json:"length"`
	Round  int           `json:"round"`
}

// NewRuledSide is NewSide of a benchmark in a private network namespace that has the
// rules of a file, or none where it is nil. Each restart has a namespace of its own:
// none finds connections that the one before left tracked. Nothing on the machine is
// changed.
//
// A restart fails with a *sandbox.RefusedError where there are no such namespaces, and
// as ruleset.LoadFileInto does.
func NewRuledSide(s Spec, length time.Duration, rules *ruleset.File) (Side, error) {
	side, err := NewSide(s, length)
	if err != nil {
		return nil, err
	}
	b := side.(*benchmarkSide)
	return &ruledSide{sideOrder{Spec: b.tally.spec, Pair: b.pair, Length: length}, rules}, nil
}

func (s *ruledSide) Name() string { return s.order.Spec.Name() }

func (s *ruledSide) Processors() []int { return s.order.Pair.Processors() }

func (s *ruledSide) Restart(ctx context.Context, round int) (r Restart, err error) {
	// The sandbox is a process of its own: no benchmark of this one may run beside.
	done, err := takeTurn(ctx)
	if err != nil {
		return Restart{}, err
	}
	defer done()
	box, err := sandbox.Start(ctx, sandbox.Config{})
	if err != nil {
		return Restart{}, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	if s.rules != nil {
		if err := ruleset.LoadFileInto(ctx, box, "", *s.rules); err != nil {
			return Restart{}, err
		}
	}
	order := s.order
	order.Round = round
	limit := s.order.Length + restartBound
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	return restartInside.Call(ctx, box, "", order)
}

// restartInside makes a restart in a sandbox of one zone.
var restartInside = sandbox.Register("bench/side", func(ctx context.Context, _ *sandbox.Inside, o sideOrder) (Restart, error) {
	b := &benchmarks{window: newWindow()}
	side := benchmarkSide{benchmark: b.add(o.Spec, o.Pair, open), length: o.Length, window: b.window}
	return side.Restart(ctx, o.Round)
})
