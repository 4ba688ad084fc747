package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// restarts are the least that give an interval of 95 %, and one more that may
	// be an outlier.
	restarts = 7
	window   = 30 * time.Millisecond
	// warmUp is how many round trips of a restart come before those that count.
	warmUp = 20
)

// way is one way to a server, of which round trips are measured.
type way struct {
	name string // of the figures, such as "tcp"
	// open makes a connection, and what asks over it once.
	open func(context.Context) (ask func(context.Context) error, shut func(), err error)
}

// took is what round trips of a way took.
type took struct {
	medians []float64 // of each restart, in nanoseconds
	all     []time.Duration
}

// roundTrips measures ways in turns, a round trip each: what drifts meets all alike, and
// so does the processor on which the scheduler has the server.
func roundTrips(ctx context.Context, ways []way) ([]took, error) {
	measured := make([]took, len(ways))
	for round := range restarts {
		each, err := restart(ctx, ways)
		if err != nil {
			return nil, fmt.Errorf("restart %d: %w", round+1, err)
		}
		for i, one := range each {
			slices.Sort(one)
			measured[i].medians = append(measured[i].medians, float64(one[len(one)/2].Nanoseconds()))
			measured[i].all = append(measured[i].all, one...)
		}
	}
	return measured, nil
}

// restart measures fresh connections of all ways.
func restart(ctx context.Context, ways []way) ([][]time.Duration, error) {
	asks := make([]func(context.Context) error, len(ways))
	for i, w := range ways {
		ask, shut, err := w.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		defer shut()
		asks[i] = ask
	}
	each := make([][]time.Duration, len(ways))
	for n, began := 0, time.Now(); n <= warmUp || time.Since(began) < window*time.Duration(len(ways)); n++ {
		for i, ask := range asks {
			sent := time.Now()
			if err := ask(ctx); err != nil {
				return nil, fmt.Errorf("%s, round trip %d: %w", ways[i].name, n+1, err)
			}
			if n >= warmUp {
				each[i] = append(each[i], time.Since(sent))
			}
		}
	}
	return each, nil
}

// quickest is the median of the restart that was the quickest: the one in which the
// scheduler had client and server nearest to each other.
func (t took) quickest() float64 { return slices.Min(t.medians) }

// report hands the figures of a way to the report.
func (t took) report(name string) {
	estimate := bench.EstimateOf(t.medians)
	spec.Measure(name+"_rtt_p50_ns", estimate.Median)
	slices.Sort(t.all)
	const enough = 1_000 // for ten beyond the percentile
	if len(t.all) >= enough {
		spec.Measure(name+"_rtt_p99_ns", float64(t.all[len(t.all)*99/100].Nanoseconds()))
	}
	spec.Evidence(name, "median %.1f µs, 95 %% interval %.1f to %.1f µs, of %d round trips in %d restarts",
		estimate.Median/1e3, estimate.Low/1e3, estimate.High/1e3, len(t.all), len(t.medians))
}

// maxOverSocket is how many times as long as over the unix socket a round trip over
// TCP may take. Both wake, parse and answer alike.
const maxOverSocket = 5

// holdsAgainstSocket measures two ways, TCP first and the unix socket after it, and
// fails where TCP takes more than maxOverSocket times as long twice in a row.
func holdsAgainstSocket(ctx context.Context, ways []way) {
	GinkgoHelper()
	load := spec.StartLoad()
	const tries = 2
	for try := range tries {
		measured, err := roundTrips(ctx, ways)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "round trips")
		for i, m := range measured {
			m.report(ways[i].name)
		}
		if len(measured) < 2 {
			return // there is nothing to hold it against
		}
		ratio := measured[0].quickest() / measured[1].quickest()
		spec.Measure("tcp_over_unix", ratio)
		if ratio <= maxOverSocket {
			return
		}
		if how, starved := load.Starved(); starved {
			spec.Inconclusive("a round trip over TCP took %.1f times as long as over the unix socket, while %s", ratio, how)
		}
		if try == tries-1 {
			Fail(fmt.Sprintf("a round trip over TCP took %.1f times as long as over the unix socket, twice in a row", ratio))
		}
	}
}

// connects is how often a client connects one after the other: a tenth as often to a
// user's server.
const connects = 50

// connectCost connects over each way, asks once, and leaves, and reports what it took
// from the beginning to the answer.
func connectCost(ctx context.Context, times int, ways []way) {
	GinkgoHelper()
	load := spec.StartLoad()
	for _, w := range ways {
		var each []time.Duration
		for n := range times {
			began := time.Now()
			ask, shut, err := w.open(ctx)
			if err == nil {
				err = ask(ctx)
				each = append(each, time.Since(began))
				shut()
			}
			load.ExcuseTimeout(err)
			Expect(err).NotTo(HaveOccurred(), "%s: connection %d of %d", w.name, n+1, times)
		}
		slices.Sort(each)
		spec.Measure(w.name+"_connect_p50_ns", float64(each[len(each)/2].Nanoseconds()))
		spec.Measure(w.name+"_connect_max_ns", float64(each[len(each)-1].Nanoseconds()))
	}
}

// crowds are how many clients ask at once, and crowdWindow for how long.
var crowds = []int{1, 4, 16, 64}

const crowdWindow = 150 * time.Millisecond

// answersCrowds has more and more clients ask at once. Each must be answered every
// time.
func answersCrowds(ctx context.Context, w way) {
	GinkgoHelper()
	load := spec.StartLoad()
	var asks []func(context.Context) error
	for _, crowd := range crowds {
		for len(asks) < crowd {
			ask, shut, err := w.open(ctx)
			load.ExcuseTimeout(err)
			Expect(err).NotTo(HaveOccurred(), "client %d", len(asks)+1)
			DeferCleanup(shut)
			asks = append(asks, ask)
		}
		answers, took, err := together(ctx, asks)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "%d clients at once", crowd)
		spec.Measure(fmt.Sprintf("%s_clients_%d_rate_per_s", w.name, crowd), float64(answers)/took.Seconds())
	}
}

// together has all ask again and again, and counts the answers.
func together(ctx context.Context, asks []func(context.Context) error) (answers int, took time.Duration, err error) {
	type outcome struct {
		answers int
		err     error
	}
	outcomes := make(chan outcome, len(asks))
	began := time.Now()
	for _, ask := range asks {
		go func() {
			var o outcome
			for o.err == nil && time.Since(began) < crowdWindow {
				if o.err = ask(ctx); o.err == nil {
					o.answers++
				}
			}
			outcomes <- o
		}()
	}
	for range asks {
		o := <-outcomes
		answers, err = answers+o.answers, errors.Join(err, o.err)
	}
	return answers, time.Since(began), err
}
