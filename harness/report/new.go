package report

import (
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// New returns the head of a report on a run that starts now: everything but
// what will come of it.
func New(tool Tool, command []string, facts host.Facts, plan []check.Check) *Report {
	r := &Report{
		SchemaVersion: SchemaVersion,
		Tool:          tool,
		Started:       time.Now().UTC(),
		Command:       command,
		Host:          facts,
		Suites:        []check.Suite{},
		Checks:        []Check{},
		Benchmarks:    []bench.Result{},
		Listeners:     []listeners.Listener{},
	}
	for _, s := range check.Suites() {
		if slices.ContainsFunc(plan, func(c check.Check) bool { return c.Suite == s.Name }) {
			r.Suites = append(r.Suites, s)
		}
	}
	return r
}

// Of returns the outcome of a check with what the catalogue says of it, and
// no state yet.
func Of(c check.Check) Check {
	return Check{
		ID: c.ID, Suite: c.Suite, Title: c.Title, Grade: c.Grade, Source: c.Source,
		Labels:       c.Labels(),
		Evidence:     []check.Evidence{},
		Causes:       []diagnose.Cause{},
		Remedies:     []diagnose.Remedy{},
		Measurements: map[string]float64{},
	}
}

// NotAsked returns the outcome of a check that the run did not come to.
func NotAsked(c check.Check, message string) Check {
	outcome := Of(c)
	outcome.State, outcome.Message = check.Interrupted, message
	return outcome
}
