package run

import (
	"fmt"
	"path"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
)

// notAsked is the message of a check that an interrupted run did not come to.
const notAsked = "not asked: the run was stopped before"

// interrupted marks, in a spec's report, that the run was stopped.
type interrupted struct{}

// outcome is what one spec came to.
type outcome struct {
	check      report.Check
	benchmarks []bench.Result
	policy     *policy.Result
	panicked   bool
	timedOut   bool
}

// checkOf finds the check that a spec asks, by the label that is its ID.
func checkOf(spec ginkgo.SpecReport) (check.Check, bool) {
	for _, label := range spec.LeafNodeLabels {
		if c, ok := check.Lookup(label); ok {
			return c, true
		}
	}
	return check.Check{}, false
}

// filteredOut tells a spec that the filter left out from one that skipped
// itself: only the latter was attempted.
func filteredOut(spec ginkgo.SpecReport) bool {
	return spec.State.Is(types.SpecStatePending) ||
		spec.State.Is(types.SpecStateSkipped) && spec.NumAttempts == 0
}

func outcomeOf(c check.Check, spec ginkgo.SpecReport) outcome {
	o := outcome{check: report.Of(c), timedOut: spec.State.Is(types.SpecStateTimedout)}
	o.check.Duration = spec.RunTime
	o.check.State, o.check.Message = verdict(c, spec)
	if spec.State.Is(types.SpecStatePanicked) {
		o.panicked = true
	}
	if spec.Failed() {
		o.check.Location = shortLocation(spec.Failure.Location)
	}
	for _, entry := range spec.ReportEntries {
		o.take(entry.GetRawValue())
	}
	// Last, since what was attached may have changed the state.
	if len(o.check.Causes) > 0 {
		o.check.Unseen = nil // what was found explains the state
	}
	if o.check.State == check.Fail || o.check.State == check.Warn {
		o.check.Why, o.check.UsualCauses, o.check.UsualRemedies = c.Why, c.Causes, c.Remedies
	}
	return o
}

// take sorts what a spec attached into the outcome.
func (o *outcome) take(value any) {
	switch v := value.(type) {
	case check.Evidence:
		o.check.Evidence = append(o.check.Evidence, v)
	case check.Measurement:
		o.check.Measurements[v.Name] = v.Value
	case check.Missing:
		o.check.Missing = &v
	case check.Unreliable:
		o.check.State, o.check.Message = check.Inconclusive, v.Reason
	case diagnosed:
		o.check.Duration -= v.took
	case interrupted:
		o.check.State, o.check.Message = check.Interrupted, notAsked
	case bench.Result:
		o.benchmarks = append(o.benchmarks, v)
	case *policy.Result:
		o.policy = v
	case diagnose.Finding:
		o.check.Causes = append(o.check.Causes, v.Cause)
		o.check.Remedies = append(o.check.Remedies, v.Remedies...)
	case diagnose.Unseen:
		o.check.Unseen = append(o.check.Unseen, v)
	}
}

// verdict maps a spec's state to the check's.
func verdict(c check.Check, spec ginkgo.SpecReport) (check.State, string) {
	message := strings.TrimSpace(spec.Failure.Message)
	switch spec.State {
	case types.SpecStatePassed:
		return check.Pass, ""
	case types.SpecStateSkipped:
		return check.Skip, message
	case types.SpecStateFailed:
		return c.Grade.Broken(), message
	case types.SpecStateTimedout:
		return c.Grade.Broken(), fmt.Sprintf("no answer within %v: %s", c.Deadline(), message)
	case types.SpecStatePanicked:
		return check.Inconclusive, fmt.Sprintf("loopcheck panicked: %s: %s", message, spec.Failure.ForwardedPanic)
	default: // interrupted, aborted
		return check.Interrupted, message
	}
}

// shortLocation is file:line relative to the module: the binary is built with
// -trimpath, which leaves the module's path in front.
func shortLocation(l types.CodeLocation) string {
	if l.FileName == "" {
		return ""
	}
	_, file, found := strings.Cut(l.FileName, "loopcheck/loopcheck")
	if found {
		// With -trimpath a version may follow the module: "@v1.2.3/".
		_, file, found = strings.Cut(file, "/")
	}
	if !found {
		file = path.Join(path.Base(path.Dir(l.FileName)), path.Base(l.FileName))
	}
	return fmt.Sprintf("%s:%d", file, l.LineNumber)
}
