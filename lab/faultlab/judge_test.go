package main

import (
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/lab/report"
)

func TestJudge(t *testing.T) {
	check := func(id, state string, causes ...report.Cause) report.Check {
		return report.Check{ID: id, State: state, Causes: causes}
	}
	rule := report.Cause{ID: "netfilter-1", Summary: "A rule drops.", Evidence: []string{"the rule: UDP drop"}}
	other := report.Cause{ID: "lo-down", Summary: "lo is down"}
	one := faults.Fault{Flagged: []string{"UDP-001"}, Causes: []string{"udp drop"}}
	two := faults.Fault{Flagged: []string{"UDP-001", "PING-001"}, Causes: []string{"udp drop", "lo-down"}}
	any := faults.Fault{Flagged: []string{"UDP-*"}, Causes: []string{"udp drop"}}
	taken := faults.Fault{Flagged: []string{"UDP-001"}, Causes: []string{"udp drop"}, Unaskable: true}
	for name, c := range map[string]struct {
		fault  faults.Fault
		checks []report.Check
		want   finding
	}{
		"flagged and named":          {one, []report.Check{check("UDP-001", "fail", rule)}, finding{Noticed: true, Named: true}},
		"a warning flags":            {one, []report.Check{check("UDP-001", "warn", rule)}, finding{Noticed: true, Named: true}},
		"flagged and not named":      {one, []report.Check{check("UDP-001", "fail")}, finding{Noticed: true}},
		"the wrong cause":            {one, []report.Check{check("UDP-001", "fail", other)}, finding{Noticed: true, Unexpected: []string{"lo-down"}}},
		"one cause too many":         {one, []report.Check{check("UDP-001", "fail", rule, other)}, finding{Noticed: true, Named: true, Unexpected: []string{"lo-down"}}},
		"another check failed":       {one, []report.Check{check("UDP-001", "pass"), check("UDP-002", "fail", rule)}, finding{Named: true}},
		"inconclusive is not found":  {one, []report.Check{check("UDP-001", "inconclusive")}, finding{Inconclusive: true}},
		"a skip is not found":        {one, []report.Check{check("UDP-001", "skip", rule)}, finding{Named: true}},
		"a skip where it cannot ask": {taken, []report.Check{check("UDP-001", "skip", rule)}, finding{Noticed: true, Named: true}},
		"a skip without a cause":     {taken, []report.Check{check("UDP-001", "skip")}, finding{}},
		"any of its kind":            {any, []report.Check{check("UDP-001", "pass"), check("UDP-010", "fail", rule)}, finding{Noticed: true, Named: true}},
		"both of two":                {two, []report.Check{check("UDP-001", "fail", rule), check("PING-001", "fail", other)}, finding{Noticed: true, Named: true}},
		"one of two":                 {two, []report.Check{check("UDP-001", "fail", rule), check("PING-001", "pass")}, finding{}},
		"one cause of two":           {two, []report.Check{check("UDP-001", "fail", rule), check("PING-001", "fail", rule)}, finding{Noticed: true}},
		"the check is missing":       {one, nil, finding{}},
	} {
		got := judge(c.fault, report.Report{Checks: c.checks})
		if got.Noticed != c.want.Noticed || got.Named != c.want.Named || got.Inconclusive != c.want.Inconclusive || !slices.Equal(got.Unexpected, c.want.Unexpected) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// A user runs the first remedy of each cause, once.
func TestRemedies(t *testing.T) {
	r := report.Report{Checks: []report.Check{
		{ID: "A-001", Remedies: []report.Remedy{{Command: "first", Cause: "a"}, {Command: "or this", Cause: "a"}, {Command: "second", Cause: "b"}}},
		{ID: "A-002", Remedies: []report.Remedy{{Command: "first", Cause: "a"}}},
	}}
	if got := remediesOf(r); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("%q", got)
	}
}

func TestAlarms(t *testing.T) {
	r := report.Report{Checks: []report.Check{
		{ID: "A-001", State: "pass"},
		{ID: "A-002", State: "skip"},
		{ID: "A-003", State: "warn", Message: "slow\nvery"},
		{ID: "A-004", State: "inconclusive"},
	}}
	if got := alarms(r); !slices.Equal(got, []string{"A-003 warn: slow very", "A-004 inconclusive: "}) {
		t.Errorf("%q", got)
	}
}
