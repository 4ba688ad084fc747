package bench

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// Ladder is where the time of a round trip goes on one placement: steps of which
// each does what an earlier one does, and more.
type Ladder struct {
	topology.Pair
	Steps []Step `json:"steps"`
}

// Step is one operation and what it takes longer than the step below it.
type Step struct {
	Name string `json:"name"`
	// What says in words what one operation is.
	What string `json:"what"`
	// Over is the name of the step that it is held against, of which one operation
	// holds Times: the nearest below that was measured. Empty where there is none.
	Over  string `json:"over,omitempty"`
	Times int    `json:"times,omitempty"`
	// BaseNS is what those take.
	BaseNS float64 `json:"base_ns"`
	// Result is that of one operation; Skipped says why there is none.
	Result Result `json:"result"`
	// Adds is what it takes longer than its base; nil where there is none.
	Adds *Difference `json:"adds,omitempty"`
	// Remark says what keeps the figures from being taken at their word.
	Remark string `json:"remark,omitempty"`
}

// LadderPlan says how ladders are measured.
type LadderPlan struct {
	// Placements are those that ladders are measured on; none means same-core, and
	// cross-core where the machine has another core.
	Placements []topology.Placement
	// Restarts is how often each step is measured, DefaultLadderRestarts where it is
	// 0. It takes 6 to tell a step from the one below it.
	Restarts int
	// Window is the measured part of one restart, DefaultLadderWindow where it is 0.
	Window time.Duration
	// Limit bounds the whole; 0 does not.
	Limit time.Duration
	// Progress is told of each restart; it may be nil.
	Progress func(Progress)
}

// Defaults of a LadderPlan.
const (
	DefaultLadderRestarts = 12
	DefaultLadderWindow   = 40 * time.Millisecond
)

// rung is a step as it is measured.
type rung struct {
	name, what string
	over       string
	times      int
	spec       Spec
	open       opener
	// batch is how many operations one sample holds, where one would be too short
	// for the clock.
	batch int
}

// Names of steps.
const (
	stepClock   = "clock"
	stepSyscall = "system call"
	stepWakeUp  = "wake-up"
)

// callsPerTrip is how many system calls a round trip of two ends makes that block:
// each end one to send, or to wake, and one to wait.
const callsPerTrip = 4

// rungs are all steps, each after what it stands on.
var rungs = []rung{
	{name: stepClock, what: "one reading of the monotonic clock, which every sample below holds", spec: Spec{Transport: "clock", Op: "read", Engine: Raw}, open: openClock, batch: callBatch},
	{name: stepSyscall, what: "one system call that does next to nothing, getppid(2)", spec: Spec{Transport: "syscall", Op: "getppid", Engine: Raw}, open: openSyscall, batch: callBatch},
	{name: stepWakeUp, what: "two threads wake each other once by futex(2): the half is one wake-up", over: stepSyscall, times: callsPerTrip, spec: Spec{Transport: "futex", Op: RR, Engine: Raw}, open: openFutex},
	{name: Pipe, what: "a request and its response over a pipe for each direction, pipe(7)", over: stepWakeUp, spec: Spec{Transport: Pipe}},
	{name: Unix, what: "the same over a pair of stream sockets, unix(7)", over: Pipe, spec: Spec{Transport: Unix}},
	{name: UDP, what: "the same over UDP on 127.0.0.1: IP, routing, lo and the netfilter hooks", over: Unix, spec: Spec{Transport: UDP}},
	{name: TCP, what: "the same over TCP: sequence numbers, acknowledgements, timers", over: UDP, spec: Spec{Transport: TCP}},
	{name: NetConn, what: "the same through Go's net package, with the server in a process of its own", over: TCP, spec: Spec{Transport: TCP, Engine: NetConn}},
	{name: HTTP, what: "a request of HTTP/1.1 over a connection that stays, net/http", over: NetConn, spec: Spec{Transport: HTTP, Engine: NetConn}},
	{name: TLS, what: "a request over TLS 1.3, crypto/tls", over: NetConn, spec: Spec{Transport: TLS, Engine: NetConn}},
}

// MeasureLadder measures the steps on each placement in turns (Interleave) and
// returns a ladder for each. A step that cannot be opened here is skipped and says
// why. When it ends early, by a failure or by the context, the ladders hold what
// there is so far.
//
// It fails with a *SpecError or a *topology.UnavailableError before anything is
// measured.
func MeasureLadder(ctx context.Context, plan LadderPlan) ([]Ladder, error) {
	pairs, err := ladderPairs(plan.Placements)
	if err != nil {
		return nil, err
	}
	b := &benchmarks{window: newWindow()}
	for _, pair := range pairs {
		for _, r := range rungs {
			s := r.spec
			s.Placement = pair.Placement
			b.add(s.WithDefaults(), pair, skipping(r.open))
		}
	}
	results, err := b.measure(ctx, Plan{
		Restarts: cmp.Or(plan.Restarts, DefaultLadderRestarts), Window: cmp.Or(plan.Window, DefaultLadderWindow),
		Limit: plan.Limit, Progress: plan.Progress,
	})
	var ladders []Ladder
	for i, pair := range pairs {
		if at := i * len(rungs); at+len(rungs) <= len(results) {
			ladders = append(ladders, Ladder{pair, climb(results[at : at+len(rungs)])})
		}
	}
	return ladders, err
}

// ladderPairs finds the processors of placements, each pair once. It fails with a
// *SpecError where one is no placement.
func ladderPairs(asked []topology.Placement) ([]topology.Pair, error) {
	s := Spec{Transport: TCP}.WithDefaults()
	for _, s.Placement = range asked {
		if err := s.Validate(); err != nil {
			return nil, err
		}
	}
	processors, err := topology.Read()
	if errors.Is(err, errors.ErrUnsupported) {
		return []topology.Pair{{Placement: topology.Free, Client: -1, Server: -1}}, nil
	}
	if err != nil {
		return nil, err
	}
	chosen := len(asked) > 0
	if !chosen {
		asked = []topology.Placement{topology.SameCore, topology.CrossCore}
	}
	var pairs []topology.Pair
	for _, p := range asked {
		pair, err := processors.Pair(p)
		if _, absent := errors.AsType[*topology.UnavailableError](err); absent && !chosen {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(pairs, pair) { // cross-core and same-llc may be the same
			pairs = append(pairs, pair)
		}
	}
	return pairs, nil
}

// skipping opens as told, and takes a refusal for a step that is not to be had: a
// machine that lacks one still has the others.
func skipping(how opener) opener {
	if how == nil {
		how = open
	}
	return func(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
		e, err := how(ctx, s, pair)
		if _, missing := errors.AsType[*MissingError](err); err != nil && !missing && ctx.Err() == nil {
			err = &MissingError{s, "two ends that open", err}
		}
		return e, err
	}
}

// climb makes steps of the results of all rungs.
func climb(results []Result) []Step {
	var steps []Step
	for i, r := range rungs {
		step := Step{Name: r.name, What: r.what, Result: results[i]}
		if r.batch > 0 {
			step.Result = step.Result.perOperation(r.batch)
		}
		if base, times, found := below(r, results); found && len(step.Result.Restarts) > 0 {
			step.Over, step.Times = rungs[base].name, times
			step.BaseNS = float64(times) * steps[base].Result.MedianNS
			adds := step.Result.overSome(steps[base].Result, float64(times))
			step.Adds, step.Remark = &adds, adds.Remark(step.Over)
			step.Remark = cmp.Or(adds.Inconclusive, step.Remark)
		}
		step.Remark = cmp.Or(step.Result.Inconclusive, step.Remark)
		steps = append(steps, step)
	}
	return steps
}

// below finds the nearest rung under another that was measured.
func below(r rung, results []Result) (at, times int, found bool) {
	for r.over != "" {
		for i, b := range rungs {
			if b.name != r.over {
				continue
			}
			if len(results[i].Restarts) > 0 {
				return i, max(r.times, 1), true
			}
			r = b
			break
		}
	}
	return 0, 0, false
}

// perOperation is a result whose samples hold a number of operations each, told of
// one. It has no histogram: that holds nanoseconds as whole numbers.
func (r Result) perOperation(n int) Result {
	by := float64(n)
	for i := range r.Restarts {
		one := &r.Restarts[i]
		one.Count *= int64(n)
		for _, figure := range []*float64{&one.P50NS, &one.P90NS, &one.P98NS, &one.P99NS, &one.P995NS, &one.CPUNSPerOp} {
			*figure /= by
		}
	}
	for key := range r.Percentiles {
		r.Percentiles[key] /= by
	}
	for i := range r.ModesNS {
		r.ModesNS[i] /= by
	}
	r.Count *= int64(n)
	r.RatePerS *= by
	r.MeanNS, r.MedianNS, r.CPUNSPerOp = r.MeanNS/by, r.MedianNS/by, r.CPUNSPerOp/by
	r.CI95.LowNS, r.CI95.HighNS = r.CI95.LowNS/by, r.CI95.HighNS/by
	r.Conditions.VoluntaryPerOp /= by
	r.Conditions.InvoluntaryPerOp /= by
	r.Conditions.AllocsPerOp /= by
	r.Histogram = ""
	return r
}
