package spec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// Job declares a check that mostly waits, for a timer of the kernel. What it
// does is a function for a sandbox (see sandbox.Register), for which it gets a
// zone of its own. The jobs that were selected start side by side when the run
// begins; the check's spec awaits what its job returns and judges it.
//
// The zones of all jobs are in one sandbox, so that a job has to stay on its
// thread: it uses probe/sock, not Go's net package. Nor may it start a program:
// until that is executed it has a copy of every descriptor, and sockets that
// another job closes meanwhile live on in it (fork(2)). What starts one has a
// Sandbox of its own.
//
// Like It, it returns a value only to stand at the top level of a file.
func Job[Seen any](s *Suite, text string, c check.Check,
	wait func(context.Context, *sandbox.Inside) (Seen, error), judge func(ginkgo.SpecContext, Seen),
) bool {
	return declareJob(s, text, c, types.NewCodeLocation(1), knownJob{inside: inside(c, wait)}, judge)
}

// PlainJob is a Job that touches nothing but sockets of its own. It has a
// sandbox so that nobody else's traffic is in its way; where there is none to be
// had, it is asked on the host, so that it does not need one.
func PlainJob[Seen any](s *Suite, text string, c check.Check,
	wait func(context.Context) (Seen, error), judge func(ginkgo.SpecContext, Seen),
) bool {
	return declareJob(s, text, c, types.NewCodeLocation(1), knownJob{
		inside: inside(c, func(ctx context.Context, _ *sandbox.Inside) (Seen, error) { return wait(ctx) }),
		onHost: func(ctx context.Context) (any, error) { return wait(ctx) },
	}, judge)
}

// knownJob is how a job is done.
type knownJob struct {
	inside func(context.Context, *sandbox.Sandbox) (any, error)
	// onHost is nil for one that must not be done there.
	onHost func(context.Context) (any, error)
}

func inside[Seen any](c check.Check, wait func(context.Context, *sandbox.Inside) (Seen, error)) func(context.Context, *sandbox.Sandbox) (any, error) {
	function := sandbox.Register("job/"+c.ID, func(ctx context.Context, in *sandbox.Inside, _ struct{}) (Seen, error) {
		return wait(ctx, in)
	})
	return func(ctx context.Context, box *sandbox.Sandbox) (any, error) {
		return function.Call(ctx, box, c.ID, struct{}{})
	}
}

func declareJob[Seen any](s *Suite, text string, c check.Check, at types.CodeLocation, job knownJob, judge func(ginkgo.SpecContext, Seen)) bool {
	jobs.known[c.ID] = job
	c.Sandboxed = true
	return s.declare(text, c, at, func(ctx ginkgo.SpecContext) {
		outcome := jobs.await(ctx, c.ID)
		SkipRefused(outcome.err)
		SkipLacking(outcome.err)
		outcome.load.ExcuseTimeout(outcome.err)
		gomega.Expect(outcome.err).NotTo(gomega.HaveOccurred())
		judge(ctx, outcome.seen.(Seen))
	})
}

// jobMargin is how much earlier than its check a job has to end, so that what
// the job says of it is what the check fails with.
const jobMargin = time.Second

// jobs runs those of this process.
var jobs = &jobRunner{
	known:   map[string]knownJob{},
	started: map[string]chan jobOutcome{},
}

type jobRunner struct {
	// known holds what runs each job, by the check's ID. It is filled while
	// packages are initialised.
	known map[string]knownJob

	mu      sync.Mutex
	started map[string]chan jobOutcome
	running sync.WaitGroup
}

type jobOutcome struct {
	seen any
	err  error
	load Load // since the job began
}

// The run begins, and its label filter tells which checks it will ask.
var _ = ginkgo.ReportBeforeSuite(func(report ginkgo.Report) {
	if selected := jobs.selected(report.SuiteConfig.LabelFilter); len(selected) > 0 {
		jobs.start(selected...)
	}
})

// selected returns the IDs of the jobs that a label filter selects.
func (r *jobRunner) selected(filter string) []string {
	matches, err := types.ParseLabelFilter(filter)
	if err != nil {
		return nil // Ginkgo has refused it before
	}
	var ids []string
	for _, c := range check.All() {
		if _, isJob := r.known[c.ID]; isJob && matches(c.Labels()) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// start starts jobs in a sandbox of theirs, which ends with the last of them.
func (r *jobRunner) start(ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.started[id] = make(chan jobOutcome, 1)
	}
	r.running.Go(func() {
		load := StartLoad()
		box, err := sandbox.Start(context.Background(), sandbox.Config{Zones: ids})
		if err == nil {
			defer box.Close()
		}
		var here sync.WaitGroup
		for _, id := range ids {
			outcome, job := r.started[id], r.known[id]
			do := func(ctx context.Context) (any, error) { return job.inside(ctx, box) }
			switch _, refused := errors.AsType[*sandbox.RefusedError](err); {
			case refused && job.onHost != nil:
				do = job.onHost
			case err != nil:
				outcome <- jobOutcome{err: err, load: load}
				continue
			}
			here.Go(func() {
				c, _ := check.Lookup(id)
				ctx, cancel := context.WithTimeout(context.Background(), c.Deadline()-jobMargin)
				defer cancel()
				seen, err := do(ctx)
				outcome <- jobOutcome{seen: seen, err: err, load: load}
			})
		}
		here.Wait()
	})
}

// await returns what a job came to. One that was not started with the run, as
// when somebody else than a label filter selected it, is started now.
func (r *jobRunner) await(ctx context.Context, id string) jobOutcome {
	r.mu.Lock()
	outcome, started := r.started[id]
	r.mu.Unlock()
	if !started {
		r.start(id)
		outcome = r.started[id]
	}
	select {
	case o := <-outcome:
		return o
	case <-ctx.Done():
		return jobOutcome{err: fmt.Errorf("await its job: %w", ctx.Err()), load: StartLoad()}
	}
}

// quiet waits until no job runs any more, so that a benchmark has the machine
// to itself.
func (r *jobRunner) quiet(ctx context.Context) error {
	over := make(chan struct{})
	go func() {
		r.running.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the checks that run side by side: %w", ctx.Err())
	}
}
