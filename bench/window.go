package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// engine is one fresh set of sockets that a window measures over.
type engine interface {
	// roundTrip sends the request of a sequence number and returns when its
	// response has come. It allocates nothing unless it fails.
	roundTrip(sequence uint64) error
	// verify says whether the last response answers the request of a sequence
	// number. It is called outside of the time that is measured.
	verify(sequence uint64) error
	// keepWaiting gives every round trip that starts within waitRefresh its full
	// reply timeout. It fails when the engine's context has ended.
	keepWaiting() error
	// close ends both sides and returns what went wrong on the side that
	// roundTrip does not see. It is safe to call when a round trip failed.
	close() error
}

// schedule says how often and for how long.
type schedule struct {
	restarts         int
	warmup, duration time.Duration
}

// window is what one restart measured.
type window struct {
	hist     *hdrhistogram.Histogram // nanoseconds
	duration time.Duration
	cpu      time.Duration // user and system time of this process
	taint    []string
}

// Bounds of what a histogram holds. No round trip is faster than a nanosecond,
// none outlasts its reply timeout by much, and three digits are finer than the
// median is known.
const (
	lowestNS  = 1
	highestNS = int64(time.Minute)
	digits    = 3
)

// turn is held while a benchmark runs: two at once would measure each other,
// and restore each other's setting of the garbage collector.
var turn = make(chan struct{}, 1)

// run measures a window for each restart, over sockets that open makes.
func run(ctx context.Context, s schedule, open func(context.Context) (engine, error)) ([]window, error) {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	windows := make([]window, s.restarts)
	for i := range windows {
		windows[i].hist = hdrhistogram.New(lowestNS, highestNS, digits)
	}
	var sequence uint64
	for i := range windows {
		if err := restart(ctx, s, open, &windows[i], &sequence); err != nil {
			return nil, fmt.Errorf("restart %d of %d: %w", i+1, s.restarts, err)
		}
	}
	return windows, nil
}

// restart opens an engine and measures one window over it. Sequence numbers go
// on from one restart to the next, so that no response of an earlier one can
// pass for an answer.
func restart(ctx context.Context, s schedule, open func(context.Context) (engine, error), w *window, sequence *uint64) (err error) {
	e, err := open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()

	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	l := loop{ctx: ctx, engine: e, hist: w.hist, sequence: *sequence, clock: time.Now()}
	defer func() { *sequence = l.sequence }()
	// The warm-up records too, so that the histogram's own memory is warm.
	if _, err := l.run(s.warmup); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	w.hist.Reset()

	before, cpu := observe(), processTime()
	w.duration, err = l.run(s.duration)
	if err != nil {
		return err
	}
	w.cpu = processTime() - cpu
	w.taint = before.taint(observe())
	return nil
}

// loop makes round trips back to back and records what each took.
type loop struct {
	ctx      context.Context
	engine   engine
	hist     *hdrhistogram.Histogram
	sequence uint64
	// clock is the moment that all times are taken against: the time since a
	// given moment costs one reading of the monotonic clock, where time.Now
	// reads the wall clock as well.
	clock time.Time
}

// waitRefresh is how often the deadline of responses is moved on: doing so for
// every round trip would cost a few percent of the rate. A lost response is
// noticed later by this much at most.
const waitRefresh = 100 * time.Millisecond

// run goes on for at least a duration and one round trip. It returns the time
// from the first request to the last response. The rate that follows from it
// includes our own work between round trips: reading the clock, recording,
// comparing.
func (l *loop) run(duration time.Duration) (time.Duration, error) {
	began := time.Since(l.clock)
	refreshed := began - waitRefresh
	for {
		start := time.Since(l.clock)
		if start-refreshed >= waitRefresh {
			if err := l.engine.keepWaiting(); err != nil {
				return 0, err
			}
			refreshed = start
			start = time.Since(l.clock)
		}
		end, err := l.step(start)
		if err != nil {
			return 0, err
		}
		if end-began >= duration {
			return end - began, nil
		}
	}
}

// step makes one round trip and returns when it ended.
func (l *loop) step(start time.Duration) (time.Duration, error) {
	l.sequence++
	if err := l.engine.roundTrip(l.sequence); err != nil {
		if l.ctx.Err() != nil {
			return 0, context.Cause(l.ctx)
		}
		return 0, err
	}
	end := time.Since(l.clock)
	if err := l.engine.verify(l.sequence); err != nil {
		return 0, err
	}
	return end, l.hist.RecordValue(min(int64(end-start), highestNS))
}
