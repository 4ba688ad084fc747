package spec

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/loopcheck/loopcheck/harness/check"
)

// prepareTimeout bounds a preparation, of which the longest takes seconds.
const prepareTimeout = 90 * time.Second

// Preparation makes something that several checks of a suite need and that takes
// a while, beside other checks: it begins with the run if one of them was selected.
// Nothing is benchmarked meanwhile. What it made ends with the run.
type Preparation[Made any] struct {
	begin func(context.Context) (Made, error)
	end   func(Made)

	once   sync.Once
	cancel context.CancelFunc // of what begin does
	ready  chan struct{}
	made   Made
	err    error
}

// Prepare declares a preparation for checks of a suite: those that wanted names. Its
// end is called unless begin failed.
func Prepare[Made any](s *Suite, wanted func(check.Check) bool, begin func(context.Context) (Made, error), end func(Made)) *Preparation[Made] {
	p := &Preparation[Made]{begin: begin, end: end, ready: make(chan struct{})}
	ginkgo.ReportBeforeSuite(func(report ginkgo.Report) {
		matches, err := types.ParseLabelFilter(report.SuiteConfig.LabelFilter)
		if err != nil {
			return // Ginkgo has refused it before
		}
		if slices.ContainsFunc(check.All(), func(c check.Check) bool { return c.Suite == s.name && wanted(c) && matches(c.Labels()) }) {
			p.start()
		}
	})
	ginkgo.ReportAfterSuite("what "+s.name+" prepared ends", func(ginkgo.Report) { p.close() })
	return p
}

func (p *Preparation[Made]) start() {
	p.once.Do(func() {
		var ctx context.Context
		ctx, p.cancel = context.WithTimeout(context.Background(), prepareTimeout)
		jobs.running.Go(func() {
			defer close(p.ready)
			defer p.cancel()
			p.made, p.err = p.begin(ctx)
		})
	})
}

// Await returns what was made. It begins now where it has not.
func (p *Preparation[Made]) Await(ctx context.Context) (made Made, err error) {
	p.start()
	select {
	case <-p.ready:
		return p.made, p.err
	case <-ctx.Done():
		return made, fmt.Errorf("await what takes a while to start: %w", ctx.Err())
	}
}

// close ends what was made. What is not yet ready is given up, as in a run that was
// interrupted.
func (p *Preparation[Made]) close() {
	begun := true
	p.once.Do(func() { begun = false })
	if !begun {
		return
	}
	p.cancel()
	if <-p.ready; p.err == nil {
		p.end(p.made)
	}
}
