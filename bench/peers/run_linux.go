package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// run makes a comparison.
func (c comparison) run(ctx context.Context, o options, floor *floorBuild) outcome {
	lasts, measures := c.windows(o.window)
	one := outcome{Name: c.name(), Spec: c.spec.WithDefaults(), Peer: c.peer.name, Window: measures, Note: c.note, Pair: topology.Pair{Placement: c.spec.Placement}}
	if c.twin != nil {
		one.Peer = c.twin.name
	}
	sides, pair, err := c.sides(lasts, measures)
	if err == nil {
		one.Pair = pair
		compared, failure := bench.Compare(ctx, sides, bench.Rounds{Kept: o.rounds})
		one.Comparison, err = &compared, failure
		one.judge(c.goals)
	}
	var absent *notInstalledError
	switch {
	case err == nil:
	case ctx.Err() != nil:
		one.Interrupted = true
	case errors.As(err, &absent) && floor.err != nil && strings.HasPrefix(absent.Peer, floorName):
		one.Skipped = floor.err.Error()
	case lacking(err) != "":
		one.Skipped = lacking(err)
	default:
		one.Error = err.Error()
	}
	return one
}

// lacking is what this machine lacks, where an error says so.
func lacking(err error) string {
	var unavailable *topology.UnavailableError
	var absent *notInstalledError
	var missing *bench.MissingError
	if errors.As(err, &absent) || errors.As(err, &unavailable) || errors.As(err, &missing) {
		return err.Error()
	}
	return ""
}

// sides are the peer and, beside it, ours or the peer's twin.
func (c comparison) sides(lasts, measures time.Duration) ([]bench.Side, topology.Pair, error) {
	processors, err := topology.Read()
	if err != nil {
		return nil, topology.Pair{}, err
	}
	pair, err := processors.Pair(c.spec.Placement)
	if err != nil {
		return nil, pair, err
	}
	j := job{transport: c.spec.Transport, op: c.spec.Op, size: c.spec.SizeBytes, window: lasts, pair: pair}
	first, err := newPeerSide(c.peer, j)
	if err != nil {
		return nil, pair, err
	}
	var second bench.Side
	if c.twin != nil {
		second, err = newPeerSide(c.twin, j)
	} else {
		second, err = bench.NewSide(c.spec, measures)
	}
	return []bench.Side{first, second}, pair, err
}

// summary says in a few words how a comparison went.
func (o *outcome) summary() string {
	if o.Comparison == nil || o.Comparison.Kept == 0 {
		return o.trouble()
	}
	said := fmt.Sprintf("%s, %d rounds, %d discarded", o.ratios(), o.Comparison.Kept, o.Comparison.Discarded)
	if trouble := o.trouble(); trouble != "" {
		said += "; " + trouble
	}
	return said
}
