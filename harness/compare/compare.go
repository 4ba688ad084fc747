// Package compare answers what is otherwise on a machine than it was, or than it is
// on another: it holds two reports against each other, and two sides that were
// measured in turns.
//
// A host that differs is told first, as it may explain all that follows. Checks,
// listeners, firewall and settings are compared by what they are; benchmarks by what
// the judge says of their restarts (bench/judge), and only where their names are the
// same, which means the same operation on processors that lie the same way.
package compare

import (
	"fmt"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/report"
)

// SchemaVersion is that of docs/compare.schema.json.
const SchemaVersion = "1"

// Comparisons are some with the same base. Their JSON form is described by
// docs/compare.schema.json.
type Comparisons struct {
	SchemaVersion string        `json:"schema_version"`
	Comparisons   []*Comparison `json:"comparisons"`
}

// Comparison is how something new compares with a base. What only one of the two
// tells is not compared.
type Comparison struct {
	Base Side `json:"base"`
	New  Side `json:"new"`
	// MinEffect and Level are the judge's rules.
	MinEffect float64 `json:"min_effect"`
	Level     float64 `json:"level"`
	// Verdict is regression where a benchmark's is, or a check got worse and fails;
	// else the worst of the benchmarks; no-change where none is compared.
	Verdict judge.Verdict `json:"verdict"`
	// Host is what differs of the machines, the most telling first.
	Host []Difference `json:"host"`
	// Checks are those whose state is another, the worst first, and those that only
	// one side has.
	Checks []CheckChange `json:"checks"`
	// ChecksCompared is how many checks both sides answered: they passed, warned or
	// failed. Of those that both have, ChecksUnanswered were not on one of them.
	ChecksCompared   int `json:"checks_compared"`
	ChecksUnanswered int `json:"checks_unanswered"`
	// Listeners are those that appeared, and then those that are gone.
	Listeners []ListenerChange `json:"listeners"`
	// Firewall is nil where not both sides have maps.
	Firewall *firewall.Difference `json:"firewall,omitempty"`
	// Settings are the sysctls that differ, by name.
	Settings []Difference `json:"settings"`
	// Benchmarks are the worst first.
	Benchmarks  []judge.Benchmark `json:"benchmarks"`
	NotCompared []NotCompared     `json:"not_compared"`
	// Rounds are what was measured in turns, of which Benchmarks are judged; empty
	// where two reports are compared.
	Rounds []bench.Comparison `json:"rounds,omitempty"`

	pairs map[string]judge.Pair // what was measured, by name, for the page
}

// Side is one of the two.
type Side struct {
	// Source is the file that it was read from, or what it was set up by.
	Source string `json:"source"`
	// Version is that of the loopcheck that measured it.
	Version     string    `json:"version"`
	Hostname    string    `json:"hostname"`
	Started     time.Time `json:"started"` // UTC
	Interrupted bool      `json:"interrupted"`
}

// Difference is something that is one way in the base and another in the new.
type Difference struct {
	What string `json:"what"`
	Base string `json:"base"`
	New  string `json:"new"`
}

// NotCompared is a benchmark that was not, and why.
type NotCompared struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// NothingError says that two reports have nothing that can be compared.
type NothingError struct {
	Base, New string
	// Reason is why the first of the benchmarks is not compared; empty where there
	// is none.
	Reason string
}

func (e *NothingError) Error() string {
	text := fmt.Sprintf("%s and %s have no check and no benchmark in common", e.Base, e.New)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Reports compares two reports. Where one has no checks (nil, not empty), as that of
// benchmarks alone, they are not compared; so it is with listeners and settings.
func Reports(base, after *report.Report, rules judge.Rules) *Comparison {
	c := &Comparison{
		Base: sideOf(base), New: sideOf(after), MinEffect: rules.MinEffect, Level: rules.Level,
		Host: hostDifferences(base, after), Settings: settingsDifferences(base.Host.Sysctls, after.Host.Sysctls),
		Listeners: listenerChanges(base.Listeners, after.Listeners),
	}
	c.Checks, c.ChecksCompared, c.ChecksUnanswered = checkChanges(base.Checks, after.Checks)
	if base.Firewall != nil && after.Firewall != nil && base.Firewall.Maps != nil && after.Firewall.Maps != nil {
		c.Firewall = firewall.Diff(base.Firewall.Maps, after.Firewall.Maps)
	}
	var pairs []judge.Pair
	pairs, c.NotCompared = pairsOf(base.Benchmarks, after.Benchmarks)
	c.keep(pairs...)
	c.judged(judge.Pairs(pairs, rules))
	return c
}

// Measured is a comparison of two sides that were measured in turns. Those of the
// comparisons that have no round are left out, with the reason.
func Measured(base, after Side, comparisons []bench.Comparison, left []NotCompared, rules judge.Rules) *Comparison {
	c := &Comparison{
		Base: base, New: after, MinEffect: rules.MinEffect, Level: rules.Level,
		Host: []Difference{}, Checks: []CheckChange{}, Listeners: []ListenerChange{}, Settings: []Difference{},
		NotCompared: append([]NotCompared{}, left...), Rounds: comparisons,
	}
	for _, one := range comparisons {
		c.keep(sidesOf(one))
	}
	c.judged(judge.Rounds(comparisons, rules))
	return c
}

// Common says with a *NothingError whether nothing was compared.
func (c *Comparison) Common() error {
	if len(c.Benchmarks)+c.ChecksCompared+c.ChecksUnanswered > 0 || c.Firewall != nil {
		return nil
	}
	e := &NothingError{Base: c.Base.Source, New: c.New.Source}
	if len(c.NotCompared) > 0 {
		e.Reason = c.NotCompared[0].Name + " is " + c.NotCompared[0].Reason
	}
	return e
}

func sideOf(r *report.Report) Side {
	return Side{Version: r.Tool.Version, Hostname: r.Host.Hostname, Started: r.Started, Interrupted: r.Interrupted}
}
