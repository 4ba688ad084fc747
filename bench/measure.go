package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/loopcheck/loopcheck/probe/clock"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// Plan says how often and for how long benchmarks are measured.
type Plan struct {
	// Restarts is how often each is measured over fresh sockets, at least.
	Restarts int
	// Window is the measured part of one restart; a warm-up goes before it.
	Window time.Duration
	// Precision, where it is not 0, goes on after Restarts until the 95 % interval of
	// each median lies within that share of the median on both sides: 0.02 is 2 %.
	Precision float64
	// Limit bounds the whole; 0 does not. A round that has begun is finished.
	Limit time.Duration
	// Lossless makes an error of a datagram that stays without an answer, which is
	// counted otherwise.
	Lossless bool
	// Progress is told of each restart when it is over; it may be nil.
	Progress func(Progress)
}

// Defaults of a Plan that is quick: the least restarts that give a 95 % interval
// narrower than the range of the medians and leave it standing when one is
// tainted, and windows of thousands of round trips.
const (
	DefaultRestarts = 10
	DefaultWindow   = 150 * time.Millisecond
)

// Progress is one restart that is over.
type Progress struct {
	Name    string // of the benchmark
	Index   int    // of the Spec among those given
	Of      int    // how many benchmarks take turns
	Round   int    // of Rounds, from 0
	Rounds  int    // 0 where the precision decides
	Restart Restart
	Elapsed time.Duration // since the beginning
}

// MissingError says what this machine or process lacks for a benchmark.
type MissingError struct {
	Spec  Spec
	Needs string // such as "a ping socket or CAP_NET_RAW"
	Err   error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s needs %s: %v", e.Spec.Name(), e.Needs, e.Err)
}
func (e *MissingError) Unwrap() error { return e.Err }

// Measure measures benchmarks in turns (Interleave) and returns a Result for each
// in the same order. What lacks something is skipped and says so. A first failure
// ends it, as does the context: the results then hold what there is so far.
//
// While a window is measured, the garbage collector of the whole process is off,
// and Go has more processors than the machine where the raw engine needs them. Two
// calls never measure at once in a process: the second waits.
//
// It fails with a *SpecError or a *topology.UnavailableError before anything is
// measured, and otherwise with the first response that is wrong or, where none may
// be lost, missing.
func Measure(ctx context.Context, specs []Spec, plan Plan) ([]Result, error) {
	b, err := newBenchmarks(specs)
	if err != nil {
		return nil, err
	}
	return b.measure(ctx, plan)
}

// measure is Measure, of benchmarks that a Spec need not be able to name.
func (b *benchmarks) measure(ctx context.Context, plan Plan) ([]Result, error) {
	done, err := takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	b.began = time.Now()
	clockNS := float64(clock.PairCost().Nanoseconds()) / 2

	ended := EndedRestarts
	err = Interleave(ctx, len(b.all),
		func(ctx context.Context, side, round int) error { return b.turn(ctx, b.all[side], round, plan) },
		func(rounds int) (more bool) { more, ended = b.more(rounds, plan); return more })
	if err != nil && ctx.Err() != nil {
		ended = EndedInterrupted
	}
	var results []Result
	for _, one := range b.all {
		r, sumErr := one.tally.result()
		err = errors.Join(err, sumErr)
		r.Ended, r.Conditions.ClockNS = ended, clockNS
		if one.missing != nil {
			r.Ended = ""
			needs := fmt.Sprintf("needs %s: %v", one.missing.Needs, one.missing.Err)
			if n := len(r.Restarts); n > 0 {
				r.Inconclusive = fmt.Sprintf("restart %d %s", n+1, needs)
			} else {
				r.Skipped = needs
			}
		}
		results = append(results, r)
	}
	return results, err
}

// benchmarks are those of one call, and the window they are measured in in turn.
type benchmarks struct {
	all      []*benchmark
	window   window
	began    time.Time
	longest  time.Duration // of a round
	previous time.Duration // since the beginning, when the last round ended
}

type benchmark struct {
	index   int
	tally   *tally
	pair    topology.Pair
	open    opener
	place   func(func() error) error // runs a restart where its client belongs
	missing *MissingError
}

// opener makes the sockets, threads and processes of a benchmark.
type opener func(context.Context, Spec, topology.Pair) (engine, error)

func newBenchmarks(specs []Spec) (*benchmarks, error) {
	processors, err := topology.Read()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) { // then all are free
		return nil, err
	}
	b := &benchmarks{window: newWindow()}
	for _, s := range specs {
		s = s.WithDefaults()
		if err := s.Validate(); err != nil {
			return nil, err
		}
		pair, err := processors.Pair(s.Placement)
		if err != nil {
			return nil, err
		}
		s.Placement = pair.Placement // of cross-core, which one it is
		b.add(s, pair, open)
	}
	return b, nil
}

func (b *benchmarks) add(s Spec, pair topology.Pair, open opener) *benchmark {
	one := &benchmark{
		index: len(b.all), tally: newTally(s), pair: pair, open: open,
		place: func(f func() error) error { return placed(s, pair, f) },
	}
	b.all = append(b.all, one)
	return one
}

// turn measures one restart.
func (b *benchmarks) turn(ctx context.Context, one *benchmark, round int, plan Plan) error {
	if one.missing != nil {
		return nil
	}
	w := &b.window
	w.round, w.lossless = round, plan.Lossless
	err := one.place(func() error { return one.restart(ctx, plan.Window, w) })
	if missing, ok := errors.AsType[*MissingError](err); ok {
		one.missing = missing // others may have what this one lacks from now on
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s, restart %d: %w", one.tally.spec.Name(), round+1, err)
	}
	if err := one.tally.add(w); err != nil {
		return err
	}
	if plan.Progress != nil {
		p := Progress{Name: one.tally.spec.Name(), Index: one.index, Of: len(b.all), Round: round, Rounds: plan.Restarts, Restart: w.restart(), Elapsed: time.Since(b.began)}
		if plan.Precision > 0 {
			p.Rounds = 0
		}
		plan.Progress(p)
	}
	return nil
}

// more says whether another round is wanted and fits, and otherwise why not.
func (b *benchmarks) more(rounds int, plan Plan) (bool, string) {
	now := time.Since(b.began)
	b.longest, b.previous = max(b.longest, now-b.previous), now
	// Of many rounds one more changes little, and each look sorts all of them.
	look := rounds%max(rounds/100, 1) == 0
	switch {
	case rounds < plan.Restarts:
	case plan.Precision == 0:
		return false, EndedRestarts
	case look && b.precise(plan.Precision):
		return false, EndedPrecision
	}
	if rounds > 0 && plan.Limit > 0 && now+b.longest > plan.Limit {
		return false, EndedTime
	}
	return true, ""
}

// precise says whether the interval of each median is as narrow as was asked for.
func (b *benchmarks) precise(share float64) bool {
	for _, one := range b.all {
		if one.missing == nil && !precise(one.tally.medians(), share) {
			return false
		}
	}
	return true
}

// precise says whether the interval of a median is as narrow as it should be.
func precise(medians []float64, share float64) bool {
	i := medianInterval(medians)
	middle := median(medians)
	return i.Confidence >= 0.95 && i.HighNS <= middle*(1+share) && i.LowNS >= middle*(1-share)
}

// restart opens an engine and measures one window over it, on the calling thread.
// Sequence numbers go on from one restart to the next, so that no response of an
// earlier one can pass for an answer.
//
// The collector runs before, and is switched off and on again without an engine:
// either stops the world, which a thread that is blocked in the kernel holds up.
func (b *benchmark) restart(ctx context.Context, d time.Duration, w *window) (err error) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limited()))

	e, err := b.open(ctx, b.tally.spec, b.pair)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()

	w.ctx, w.clock = ctx, time.Now()
	// The warm-up records too, so that the histogram's own memory is warm.
	if w.steady, err = warmUp(e, &w.meter); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	w.reset()

	theirs, err := e.remote()
	if err != nil {
		return err
	}
	w.pace = clock.Pace()
	before, own := observe(), readUsage()
	if err := e.run(&w.meter, d); err != nil {
		return err
	}
	used := readUsage().sub(own)
	after := observe()
	w.pace = min(w.pace, clock.Pace())
	remote, err := e.remote()
	if err != nil {
		return err
	}
	w.seen = before.between(after)
	used.add(remote.sub(theirs))
	w.seen.collections += used.Collections
	after.gc += used.Collections
	w.loss, w.taint = before.taint(after, used.CPU, b.pair.Processors())
	if !paced(b.pair.Client, w.pace, time.Now()) {
		w.taint = append(w.taint, TaintPace)
	}
	w.used = used
	return nil
}

// limited is what the memory of this process may grow to while the collector is
// off: by memoryLimit, or to the limit that it has.
func limited() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return min(int64(sample[0].Value.Uint64())+memoryLimit, debug.SetMemoryLimit(-1))
}
