package spec

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Group is a job that several checks judge, for what is too dear to be begun for
// each of them: it is done once for those that were selected, from the beginning of
// the run on, beside the other checks.
type Group[Seen any] struct {
	do *groupJob
}

// groupJob is how a group is done.
type groupJob func(ctx context.Context, ids []string) (any, error)

// NewGroup declares a group. It is given the IDs of its checks that were selected
// and returns what was seen for all of them.
func NewGroup[Seen any](do func(ctx context.Context, ids []string) (Seen, error)) Group[Seen] {
	job := groupJob(func(ctx context.Context, ids []string) (any, error) { return do(ctx, ids) })
	return Group[Seen]{&job}
}

// It declares a check of the group and what judges it. The error is that of what
// was done, with a sandbox that was refused and a machine that had no processor to
// spare taken care of. The offset is how many functions stand between it and the
// declaration's place.
func (g Group[Seen]) It(s *Suite, text string, c check.Check, offset ginkgo.Offset, judge func(ginkgo.SpecContext, Seen, error)) bool {
	jobs.known[c.ID] = knownJob{group: g.do}
	c.Sandboxed = true
	return s.declare(text, c, types.NewCodeLocation(1+int(offset)), func(ctx ginkgo.SpecContext) {
		outcome := jobs.await(ctx, c.ID)
		skipIfRefused(outcome.err)
		outcome.load.ExcuseTimeout(outcome.err)
		seen, ok := outcome.seen.(Seen)
		gomega.Expect(ok || outcome.err != nil).To(gomega.BeTrue(), "what the job saw")
		judge(ctx, seen, outcome.err)
	})
}

// startGroup does a group for some of its checks.
func (r *jobRunner) startGroup(do groupJob, ids []string) {
	outcomes := make([]chan jobOutcome, len(ids))
	var limit time.Duration
	for i, id := range ids {
		outcomes[i] = r.started[id]
		c, _ := check.Lookup(id)
		limit = max(limit, c.Deadline()-jobMargin)
	}
	r.running.Go(func() {
		load := StartLoad()
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		seen, err := do(ctx, ids)
		for _, outcome := range outcomes {
			outcome <- jobOutcome{seen: seen, err: err, load: load}
		}
	})
}
