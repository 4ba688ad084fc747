// Package report is what came out of a run: the typed report, and one function
// for each format it is written in.
package report

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// SchemaVersion is the version of the JSON form, described in
// docs/report.schema.json. It changes when a reader of the old form would
// misread the new one.
const SchemaVersion = "1"

// Report is the outcome of one run on one machine. Checks stand in the order
// they ran in.
type Report struct {
	SchemaVersion string         `json:"schema_version"`
	Tool          Tool           `json:"tool"`
	Started       time.Time      `json:"started"` // UTC
	Duration      time.Duration  `json:"duration_ns"`
	Command       []string       `json:"command"` // without the path of the binary
	Interrupted   bool           `json:"interrupted"`
	Host          host.Facts     `json:"host"`
	Noise         host.Noise     `json:"noise"`
	Summary       Summary        `json:"summary"`
	Suites        []check.Suite  `json:"suites"` // those that ran, in order
	Checks        []Check        `json:"checks"`
	Benchmarks    []bench.Result `json:"benchmarks"`
	// Listeners is who listened on the machine when the run began.
	Listeners []listeners.Listener `json:"listeners"`
	// Firewall is what was found of a firewall; nil where none was asked about.
	Firewall *Firewall `json:"firewall,omitempty"`
}

// Tool says what made the report.
type Tool struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Check is the outcome of one check.
type Check struct {
	ID       string        `json:"id"`
	Suite    string        `json:"suite"`
	Title    string        `json:"title"`
	Grade    check.Grade   `json:"grade"`
	State    check.State   `json:"state"`
	Duration time.Duration `json:"duration_ns"`
	// Message says why the state is not pass; empty otherwise.
	Message  string            `json:"message"`
	Location string            `json:"location,omitempty"` // file:line of the assertion that failed
	Evidence []check.Evidence  `json:"evidence"`
	Causes   []diagnose.Cause  `json:"causes"`
	Remedies []diagnose.Remedy `json:"remedies"`
	// Unseen is where a cause may be and could not be looked for. It is kept
	// only where no cause was found.
	Unseen []diagnose.Unseen `json:"unseen,omitempty"`
	// Missing is the need for want of which the check was skipped.
	Missing *check.Missing `json:"missing,omitempty"`
	Source  string         `json:"source"`
	// Why, UsualCauses and UsualRemedies are what the catalogue says of the
	// check, where it failed or warned; empty otherwise. They hold for any
	// machine: what was found on this one stands in Causes and Remedies.
	Why           string             `json:"why,omitempty"`
	UsualCauses   []string           `json:"usual_causes,omitempty"`
	UsualRemedies []string           `json:"usual_remedies,omitempty"`
	Labels        []string           `json:"labels"`
	Measurements  map[string]float64 `json:"measurements"`
}

// Validate returns what keeps the check from being the outcome of one, or nil:
// it has to have an ID and a state that is known. The error does not name the
// check.
func (c Check) Validate() error {
	if c.ID == "" {
		return errors.New("it has no ID")
	}
	if !slices.Contains(check.States, c.State) {
		return fmt.Errorf("unknown state %q: it is one of %s", shortened(string(c.State)), join(check.States))
	}
	return nil
}

// broken says whether the expectation of the check was not met.
func (c Check) broken() bool { return c.State == check.Fail || c.State == check.Warn }

// RemediesOf returns what mends a cause of the check, by the cause's ID.
func (c Check) RemediesOf(cause string) []diagnose.Remedy {
	return slices.DeleteFunc(slices.Clone(c.Remedies), func(r diagnose.Remedy) bool { return r.Cause != cause })
}

// Summary counts the checks by state.
type Summary struct {
	// Verdict is the state that decides: the first of fail, warn, inconclusive,
	// interrupted that any check has; else pass, or skip where nothing passed.
	Verdict      check.State `json:"verdict"`
	Passed       int         `json:"passed"`
	Failed       int         `json:"failed"`
	Warned       int         `json:"warned"`
	Skipped      int         `json:"skipped"`
	Inconclusive int         `json:"inconclusive"`
	Interrupted  int         `json:"interrupted"`
	Total        int         `json:"total"`
}

// Count is the number of checks in a state.
func (s Summary) Count(state check.State) int {
	switch state {
	case check.Pass:
		return s.Passed
	case check.Fail:
		return s.Failed
	case check.Warn:
		return s.Warned
	case check.Skip:
		return s.Skipped
	case check.Inconclusive:
		return s.Inconclusive
	case check.Interrupted:
		return s.Interrupted
	}
	return 0
}

// Summarize counts the checks and draws the verdict.
func Summarize(checks []Check) Summary {
	s := Summary{Total: len(checks)}
	for _, c := range checks {
		switch c.State {
		case check.Pass:
			s.Passed++
		case check.Fail:
			s.Failed++
		case check.Warn:
			s.Warned++
		case check.Skip:
			s.Skipped++
		case check.Inconclusive:
			s.Inconclusive++
		case check.Interrupted:
			s.Interrupted++
		}
	}
	s.Verdict = check.Pass
	if s.Passed == 0 {
		s.Verdict = check.Skip
	}
	for _, state := range []check.State{check.Fail, check.Warn, check.Inconclusive, check.Interrupted} {
		if s.Count(state) > 0 {
			s.Verdict = state
			break
		}
	}
	return s
}

// RootCause is a cause with every check of the report that it explains. It is
// told as the first of them had it: what was read may differ in passing, as the
// number of open files does.
type RootCause struct {
	diagnose.Cause
	Remedies []diagnose.Remedy // of all of them, each once
	Explains []string          // IDs of checks
}

// RootCauses gathers the causes of the checks that need attention, each once,
// those that explain most first. Why a check was skipped is no such cause.
func (r *Report) RootCauses() []RootCause { return gatherCauses(r.inOrder(needsAttention)) }

// Attention returns the checks that did not pass and were not merely skipped,
// worst first; checks of one state keep their order.
func (r *Report) Attention() []Check { return worstFirst(r.Checks) }
