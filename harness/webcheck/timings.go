package webcheck

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/web"
)

const (
	// loadTime is about how long one load takes, by the time that one request took.
	loadTime = 400 * time.Millisecond
	// leastRequests and mostRequests bound how many one connection carries.
	leastRequests = 4
	mostRequests  = 500
	// manyConnections are what a browser's tabs, a proxy or a crawler open.
	manyConnections = 64
	// beginFor is how long a load begins requests, where they take longer than the first
	// one did; or beginRounds of the first one's time, so that one follows another.
	beginFor    = 5 * loadTime
	beginRounds = 1.5
	// stuckAfter is how many requests' time-outs a load may take in all.
	stuckAfter = 3
)

// Timing is how long requests took over some connections.
type Timing struct {
	// Cold requests each have a connection of their own, warm ones one that was used
	// before.
	Cold        bool    `json:"cold"`
	Connections int     `json:"connections"`
	Requests    int     `json:"requests"`
	Failed      int     `json:"failed"`
	RatePerS    float64 `json:"rate_per_s"`
	// The steps are those of web.Timings.
	DNS       Steps `json:"dns"`
	Connect   Steps `json:"connect"`
	TLS       Steps `json:"tls"`
	FirstByte Steps `json:"first_byte"`
	Total     Steps `json:"total"`
	// Errors are the first few, each once, as text.
	Errors []string `json:"errors"`

	// full is the queue that explains all of Failed; nil where none does.
	full *fullQueue
}

// Steps are percentiles of one step. All are 0 where no request had it.
type Steps struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// Name is what a person calls it.
func (t Timing) Name() string {
	heat, connections := "warm", "1 connection"
	if t.Cold {
		heat = "cold"
	}
	if t.Connections > 1 {
		connections = fmt.Sprintf("%d connections", t.Connections)
	}
	return heat + ", " + connections
}

// load measures cold and warm requests over 1 and over many connections.
func (i *inspector) load(ctx context.Context) {
	for _, connections := range []int{1, manyConnections} {
		for _, cold := range []bool{true, false} {
			if i.loadErr != nil {
				return
			}
			i.loadErr = i.measure(ctx, cold, connections)
		}
	}
}

// slowest is how long the page took at most while nothing else was asked for.
func (i *inspector) slowest() time.Duration {
	var slowest time.Duration
	for _, t := range i.timings {
		if t.Connections == 1 {
			slowest = max(slowest, t.Total.Max)
		}
	}
	if slowest == 0 {
		return i.page.Timings.Total
	}
	return slowest
}

func (i *inspector) measure(ctx context.Context, cold bool, connections int) error {
	t := Timing{Cold: cold, Connections: connections, Errors: []string{}}
	each := int(loadTime / max(i.page.Timings.Total, time.Microsecond) / time.Duration(connections))
	t.Requests = connections * min(max(each, leastRequests), mostRequests)
	bounded, cancel := context.WithTimeout(ctx, stuckAfter*i.Timeout)
	defer cancel()
	before := overflowed()
	result, err := web.Plan{
		URL: i.url.String(), Requests: t.Requests, Connections: connections,
		Options: web.Options{Version: web.HTTP1, TLS: unverified(), Fresh: cold, Connections: connections},
		Header:  i.headerFor(i.url),
		// A server may serve one at a time: then the last waits for all others.
		Timeout: i.Timeout + time.Duration(connections-1)*i.slowest(),
		Begin:   max(beginFor, time.Duration(beginRounds*float64(i.page.Timings.Total))),
		Discard: true,
		Wrong: func(r *web.Response) error {
			if r.Status != i.page.Status {
				return fmt.Errorf("status %d, where the first answer had %d", r.Status, i.page.Status)
			}
			return nil
		},
	}.Run(bounded)
	if err != nil && (ctx.Err() != nil || bounded.Err() == nil) {
		return fmt.Errorf("%s, %d requests: %w", t.Name(), t.Requests, err)
	}
	if t.Requests = result.Answered + result.Failed; t.Requests == 0 {
		return fmt.Errorf("%s: no request was answered within %v", t.Name(), stuckAfter*i.Timeout)
	}
	if err != nil {
		i.cut = append(i.cut, t.Name())
	}
	t.Failed, t.RatePerS = result.Failed, result.RatePerS()
	t.full = i.tooShort(result, connections, overflowed()-before)
	for _, e := range result.Errors {
		said := i.saw(e)
		if t.full != nil {
			said = turnedAway
		}
		if !slices.Contains(t.Errors, said) {
			t.Errors = append(t.Errors, said)
		}
	}
	for _, step := range []struct {
		to   *Steps
		from web.Percentiles
	}{{&t.DNS, result.DNS}, {&t.Connect, result.Connect}, {&t.TLS, result.TLS}, {&t.FirstByte, result.FirstByte}, {&t.Total, result.Total}} {
		*step.to = Steps(step.from)
	}
	i.timings = append(i.timings, t)
	return nil
}
