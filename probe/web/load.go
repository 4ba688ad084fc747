package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Plan is how a server is loaded.
type Plan struct {
	URL string
	// Requests is how many there are, Connections how many of them are under way at a
	// time, each over a connection of its own but for HTTP/2 and HTTP/3, where they
	// share one.
	Requests, Connections int
	// Options are those of the client. Fresh ones make a cold load, in which every
	// request has to look up, connect and make its handshake.
	Options Options
	// Header is sent with each; a Host in it is the one to send.
	Header http.Header
	// Timeout bounds one request.
	Timeout time.Duration
	// Begin is how long requests are begun; 0 is no bound. Those that are under way then
	// go on to their end.
	Begin time.Duration
	// Discard reads the bodies of responses and keeps none: Wrong sees them empty.
	Discard bool
	// MaxFailed is how many failures end the load; 0 is no bound.
	MaxFailed int
	// Wrong says what is wrong with a response, and nil where nothing is.
	Wrong func(*Response) error
}

// Load is what came of a plan.
type Load struct {
	// Answered is how many requests got a response that nothing is wrong with, Failed
	// how many did not, with the first few errors.
	Answered, Failed int
	Errors           []error
	// Silent is how many of Failed had no response by the end of their time.
	Silent int
	// Connections is how many there were for those that were answered.
	Connections int
	Took        time.Duration
	// Steps are those of the requests whose connection was as the plan has it: new for
	// a cold load, and used before for a warm one.
	DNS, Connect, TLS, FirstByte, Total Percentiles
}

// shownErrors is how many errors are kept: those of one load mostly say the same.
const shownErrors = 3

// RatePerS is how many responses there were in a second.
func (l *Load) RatePerS() float64 {
	if l.Took <= 0 {
		return 0
	}
	return float64(l.Answered) / l.Took.Seconds()
}

// Percentiles are those of the samples of one step, by nearest rank. All are 0 where
// there is no sample.
type Percentiles struct {
	Count              int
	P50, P90, P99, Max time.Duration
}

func percentiles(samples []time.Duration) Percentiles {
	slices.Sort(samples)
	p := Percentiles{Count: len(samples)}
	if p.Count == 0 {
		return p
	}
	// Of n samples the nearest rank is n·percent/100, rounded up, counted from 1.
	rank := func(percent int) time.Duration { return samples[(p.Count*percent+99)/100-1] }
	p.P50, p.P90, p.P99, p.Max = rank(50), rank(90), rank(99), samples[p.Count-1]
	return p
}

// loader is a load under way.
type loader struct {
	plan   Plan
	client *Client
	taken  atomic.Int64 // requests that a worker has

	mu      sync.Mutex
	load    Load
	timings []Timings
	// from are the client's ends of the connections.
	from map[netip.AddrPort]struct{}
}

// Run loads a server. What goes wrong with a request is in the Load: the error is for
// a plan that cannot be made, and for the end of the context, which comes with the Load
// up to it. What was under way then has neither been answered nor failed.
func (p Plan) Run(ctx context.Context) (*Load, error) {
	if p.Requests < 1 || p.Connections < 1 || p.Timeout <= 0 {
		return nil, fmt.Errorf("a load of %d requests over %d connections with %v for each: all have to be above 0", p.Requests, p.Connections, p.Timeout)
	}
	p.Options.Connections = p.Connections
	client, err := New(p.Options)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	l := &loader{plan: p, client: client, timings: make([]Timings, 0, p.Requests), from: map[netip.AddrPort]struct{}{}}
	began := time.Now()
	var workers sync.WaitGroup
	for range min(p.Connections, p.Requests) {
		workers.Go(func() {
			for ctx.Err() == nil && (p.Begin <= 0 || time.Since(began) < p.Begin) && !l.failedEnough() && l.taken.Add(1) <= int64(p.Requests) {
				l.one(ctx)
			}
		})
	}
	workers.Wait()
	l.load.Took, l.load.Connections = time.Since(began), len(l.from)
	if p.Options.Fresh {
		l.load.Connections = l.load.Answered // whose ports may be the same, one after the other
	}
	l.sum()
	return &l.load, context.Cause(ctx)
}

// failedEnough says whether the load ends by its failures.
func (l *loader) failedEnough() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.plan.MaxFailed > 0 && l.load.Failed >= l.plan.MaxFailed
}

// one makes one request.
func (l *loader) one(whole context.Context) {
	ctx, cancel := context.WithTimeout(whole, l.plan.Timeout)
	defer cancel()
	response, err := l.plan.ask(ctx, l.client)
	if err != nil && whole.Err() != nil {
		return // it was the end of the load
	}
	if err == nil {
		err = l.plan.wrong(response)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.load.Failed++
		if silent(err) {
			l.load.Silent++
		}
		if len(l.load.Errors) < shownErrors {
			l.load.Errors = append(l.load.Errors, err)
		}
		return
	}
	l.load.Answered++
	l.from[response.Local] = struct{}{}
	if response.Reused != l.plan.Options.Fresh {
		l.timings = append(l.timings, response.Timings)
	}
}

// silent says whether it is the error of a request that had no response in its time.
func silent(err error) bool {
	failed, is := errors.AsType[*Error](err)
	return is && failed.Step != Lookup && failed.Step != Body && errors.Is(err, context.DeadlineExceeded)
}

func (p Plan) ask(ctx context.Context, client *Client) (*Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return nil, err
	}
	if p.Header != nil {
		r.Header, r.Host = p.Header.Clone(), p.Header.Get("Host")
	}
	if p.Discard {
		return client.ask(ctx, r, dropBody)
	}
	return client.Ask(ctx, r)
}

func (p Plan) wrong(r *Response) error {
	if p.Wrong != nil {
		return p.Wrong(r)
	}
	if r.Status != http.StatusOK {
		return fmt.Errorf("GET %s: the status is %d %s", p.URL, r.Status, http.StatusText(r.Status))
	}
	return nil
}

func (l *loader) sum() {
	for _, step := range []struct {
		into *Percentiles
		of   func(Timings) time.Duration
	}{
		{&l.load.DNS, func(t Timings) time.Duration { return t.DNS }},
		{&l.load.Connect, func(t Timings) time.Duration { return t.Connect }},
		{&l.load.TLS, func(t Timings) time.Duration { return t.TLS }},
		{&l.load.FirstByte, func(t Timings) time.Duration { return t.FirstByte }},
		{&l.load.Total, func(t Timings) time.Duration { return t.Total }},
	} {
		samples := make([]time.Duration, 0, len(l.timings))
		for _, t := range l.timings {
			if took := step.of(t); took > 0 {
				samples = append(samples, took)
			}
		}
		*step.into = percentiles(samples)
	}
}
