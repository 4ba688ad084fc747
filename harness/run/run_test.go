package run

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
)

// timeout is the deadline of the check that outlives it.
const timeout = 50 * time.Millisecond

// The stand-in suite has a check for each way in which one can end. They stand
// in the order of their IDs.
func init() {
	check.RegisterSuite(check.Suite{Name: "fake", Title: "A stand-in", Order: 1})
	ginkgo.Describe("fake", func() {
		spec := func(id string, grade check.Grade, benchmark bool, body func(ginkgo.SpecContext)) {
			c := check.Check{
				ID: id, Suite: "fake", Title: "does " + id, Grade: grade, Source: "here",
				Asks: "something", Why: "for this test", Benchmark: benchmark,
				Causes: []string{"paint"}, Remedies: []string{"a brush"},
			}
			switch id {
			case "FAKE-003":
				c.Needs = []check.Need{{Name: check.Sandbox.Name, How: "ask the landlord"}}
			case "FAKE-004":
				c.Needs = []check.Need{check.IPv6}
			case "FAKE-008":
				c.Timeout = timeout
			}
			check.Register(c)
			ginkgo.It(c.Title, ginkgo.Label(c.Labels()...), ginkgo.SpecTimeout(c.Deadline()), body)
		}
		attach := func(v any) { ginkgo.AddReportEntry("entry", v) }
		spec("FAKE-001", check.GradeFail, false, func(ginkgo.SpecContext) {
			attach(check.Evidence{What: "colour", Seen: "blue"})
			attach(check.Measurement{Name: "width_bytes", Value: 7})
			attach(&policy.Result{Policy: "policy.yaml"})
		})
		spec("FAKE-002", check.GradeFail, false, func(ginkgo.SpecContext) {
			for _, port := range []uint16{7, 0, 7} {
				attach(check.Flow{Protocol: "tcp", To: loopback(port)})
			}
			attach(check.Flow{Protocol: "udp", To: loopback(7)})
			ginkgo.Fail("saw red")
		})
		spec("FAKE-003", check.GradeWarn, false, func(ginkgo.SpecContext) { ginkgo.Fail("saw grey") })
		spec("FAKE-004", check.GradeAdvice, false, func(ginkgo.SpecContext) { ginkgo.Fail("saw risk") })
		spec("FAKE-005", check.GradeFail, false, func(ginkgo.SpecContext) {
			attach(check.Missing{Need: check.NetRaw, Found: "not permitted"})
			ginkgo.Skip("needs CAP_NET_RAW")
		})
		spec("FAKE-006", check.GradeFail, false, func(ginkgo.SpecContext) {
			attach(check.Unreliable{Reason: "too noisy"})
			ginkgo.Skip("too noisy")
		})
		spec("FAKE-007", check.GradeFail, true, func(ginkgo.SpecContext) { attach(bench.Result{Name: "quick"}) })
		spec("FAKE-008", check.GradeFail, false, func(ctx ginkgo.SpecContext) { <-ctx.Done() })
		spec("FAKE-009", check.GradeFail, true, func(ginkgo.SpecContext) { attach(bench.Result{Name: "beside a leak"}) })
		spec("FAKE-010", check.GradeFail, false, func(ginkgo.SpecContext) { panic("out of cheese") })
		spec("FAKE-011", check.GradeFail, false, func(ginkgo.SpecContext) { close(stopRun) })
		spec("FAKE-012", check.GradeFail, false, func(ginkgo.SpecContext) {})
	})
	ginkgo.Describe("slow", func() {
		check.Register(check.Check{
			ID: "FAKE-100", Suite: "fake", Title: "takes long", Grade: check.GradeFail, Source: "here",
			Asks: "something", Why: "for this test", Slow: true,
		})
	})
}

var stopRun = make(chan struct{})

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// witness records what an observer is told.
type witness struct {
	began, ended, measured, examined []string
	started, finished                int
}

func (w *witness) Started(*report.Report, []check.Check) { w.started++ }
func (w *witness) Began(c check.Check)                   { w.began = append(w.began, c.ID) }
func (w *witness) Ended(c report.Check)                  { w.ended = append(w.ended, c.ID) }
func (w *witness) Measured(b bench.Result)               { w.measured = append(w.measured, b.Name) }
func (w *witness) Examined(f report.Firewall)            { w.examined = append(w.examined, f.Notes...) }
func (w *witness) Finished(*report.Report)               { w.finished++ }

// Ginkgo builds its tree, in which the checks of this test register, when the
// specs are run; the plan is needed before. So the IDs stand here as well.
func planOf(ids ...string) []check.Check {
	var plan []check.Check
	for _, id := range ids {
		plan = append(plan, check.Check{ID: id, Suite: "fake", Title: "does " + id})
	}
	return plan
}

func TestRunMapsEveryEndOfACheck(t *testing.T) {
	ids := []string{
		"FAKE-001", "FAKE-002", "FAKE-003", "FAKE-004", "FAKE-005", "FAKE-006",
		"FAKE-007", "FAKE-008", "FAKE-009", "FAKE-010", "FAKE-011", "FAKE-012",
	}
	var w witness
	dark := diagnose.Unseen{What: "the cellar", Why: "it is dark: bring a lamp"}
	var symptoms []diagnose.Symptom
	r, err := Run(planOf(ids...), Options{
		Observers: []Observer{&w},
		Stop:      stopRun,
		Diagnose: func(_ context.Context, s diagnose.Symptom) diagnose.Diagnosis {
			symptoms = append(symptoms, s)
			d := diagnose.Diagnosis{Unseen: []diagnose.Unseen{dark}}
			if s.Check != "FAKE-003" {
				d.Findings = []diagnose.Finding{{
					Cause:    diagnose.Cause{ID: "paint", Summary: "Somebody painted it."},
					Remedies: []diagnose.Remedy{{Command: "scrub", Cause: "paint", Note: "It will shine."}},
				}}
			}
			return d
		},
	})
	if !errors.Is(err, ErrPanicked) {
		t.Errorf("error %v, want %v", err, ErrPanicked)
	}
	want := map[string]check.State{
		"FAKE-001": check.Pass, "FAKE-002": check.Fail, "FAKE-003": check.Warn, "FAKE-004": check.Warn,
		"FAKE-005": check.Skip, "FAKE-006": check.Inconclusive, "FAKE-007": check.Pass, "FAKE-008": check.Fail,
		"FAKE-009": check.Inconclusive, "FAKE-010": check.Inconclusive, "FAKE-011": check.Pass, "FAKE-012": check.Interrupted,
	}
	got := map[string]report.Check{}
	for _, c := range r.Checks {
		got[c.ID] = c
	}
	for id, state := range want {
		if got[id].State != state {
			t.Errorf("%s: %s (%s), want %s", id, got[id].State, got[id].Message, state)
		}
	}
	if len(r.Checks) != len(ids) {
		t.Errorf("%d checks in the report, want %d", len(r.Checks), len(ids))
	}
	for id, message := range map[string]string{
		"FAKE-001": "", "FAKE-002": "saw red", "FAKE-006": "too noisy", "FAKE-008": "no answer within 50ms",
		"FAKE-009": "FAKE-008 did not end at its deadline", "FAKE-010": "out of cheese", "FAKE-012": notAsked,
	} {
		if !strings.Contains(got[id].Message, message) || (message == "") != (got[id].Message == "") {
			t.Errorf("%s says %q, want %q in it", id, got[id].Message, message)
		}
	}
	for id, c := range got {
		broken := c.State == check.Fail || c.State == check.Warn
		if (c.Why == "for this test") != broken || slices.Equal(c.UsualCauses, []string{"paint"}) != broken ||
			slices.Equal(c.UsualRemedies, []string{"a brush"}) != broken || !broken && c.Why != "" {
			t.Errorf("%s (%s) tells why %q, usual causes %q, usual remedies %q", id, c.State, c.Why, c.UsualCauses, c.UsualRemedies)
		}
	}
	if m := got["FAKE-005"].Missing; m == nil || m.Name != check.NetRaw.Name || m.Found != "not permitted" {
		t.Errorf("FAKE-005 misses %+v", m)
	}
	if e := got["FAKE-001"].Evidence; len(e) != 1 || e[0].Seen != "blue" || got["FAKE-001"].Measurements["width_bytes"] != 7 {
		t.Errorf("FAKE-001 has evidence %v and measurements %v", e, got["FAKE-001"].Measurements)
	}
	for _, id := range []string{"FAKE-002", "FAKE-005"} {
		c := got[id]
		if len(c.Causes) != 1 || c.Causes[0].ID != "paint" || len(c.Remedies) != 1 || c.Remedies[0].Note != "It will shine." || c.Unseen != nil {
			t.Errorf("%s has causes %v, remedies %v, unseen %v", id, c.Causes, c.Remedies, c.Unseen)
		}
	}
	if c := got["FAKE-002"]; !strings.Contains(c.Location, "run_test.go:") {
		t.Errorf("FAKE-002 has location %q", c.Location)
	}
	if c := got["FAKE-003"]; len(c.Causes) != 0 || !slices.Equal(c.Unseen, []diagnose.Unseen{dark}) {
		t.Errorf("FAKE-003 has causes %v, unseen %v", c.Causes, c.Unseen)
	}
	wantSymptoms(t, symptoms)
	if !r.Interrupted || r.Summary.Interrupted != 1 || r.Summary.Verdict != check.Fail {
		t.Errorf("interrupted %v, summary %+v", r.Interrupted, r.Summary)
	}
	if len(r.Benchmarks) != 1 || r.Benchmarks[0].Name != "quick" {
		t.Errorf("benchmarks %v, want the one that had the machine to itself", r.Benchmarks)
	}
	if f := r.Firewall; f == nil || f.Policy == nil || f.Policy.Policy != "policy.yaml" {
		t.Errorf("of the firewall there is %+v", f)
	}
	if w.started != 1 || w.finished != 1 || !slices.Equal(w.ended, ids) || !slices.Equal(w.began, ids[:11]) || !slices.Equal(w.measured, []string{"quick"}) {
		t.Errorf("the observer was told %+v", w)
	}
}

// wantSymptoms holds that causes were looked for where there may be some, by
// what the check told of itself.
func wantSymptoms(t *testing.T, got []diagnose.Symptom) {
	t.Helper()
	for i, s := range got {
		if s.Suite != "fake" || s.Message == "" {
			t.Errorf("%s is of suite %q and says %q", s.Check, s.Suite, s.Message)
		}
		if _, err := s.Moved.Get("Tcp", "ActiveOpens"); runtime.GOOS == "linux" && err != nil {
			t.Errorf("%s: what the kernel counted meanwhile is not told: %v", s.Check, err)
		}
		got[i].Suite, got[i].Message, got[i].Moved = "", "", nil
	}
	want := []diagnose.Symptom{
		{Check: "FAKE-002", Flows: []diagnose.Flow{
			{Protocol: "tcp", To: loopback(7)}, {Protocol: "tcp", To: loopback(0)}, {Protocol: "udp", To: loopback(7)},
		}},
		{Check: "FAKE-003", Sandboxed: true},
		{Check: "FAKE-004", IPv6: true},
		{Check: "FAKE-005", Missing: check.NetRaw.Name},
		{Check: "FAKE-008"},
		{Check: "FAKE-010"},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("symptoms (-want +got):\n%s", diff)
	}
}

func TestSelectionErrors(t *testing.T) {
	check.RegisterSuite(check.Suite{Name: "plan", Title: "For plans", Order: 2})
	check.RegisterSuite(check.Suite{Name: "asked", Title: "For plans", Order: 3, OnRequest: true})
	check.Register(check.Check{ID: "ASKED-001", Suite: "asked", Title: "is asked", Grade: check.GradeFail, Source: "here", Asks: "a", Why: "b"})
	check.Register(check.Check{ID: "PLAN-001", Suite: "plan", Title: "is slow", Grade: check.GradeFail, Source: "here", Asks: "a", Why: "b", Slow: true})

	var suite *UnknownSuiteError
	if _, err := (Selection{Suites: []string{"plan", "pign"}}).Plan(); !errors.As(err, &suite) || suite.Name != "pign" || !slices.Contains(suite.Known, "plan") {
		t.Errorf("an unknown suite gives %v", err)
	}
	var filter *FilterError
	if _, err := (Selection{LabelFilter: "tcp &&"}).Plan(); !errors.As(err, &filter) || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("an invalid filter gives %q", err)
	}
	var nothing *NothingSelectedError
	if _, err := (Selection{LabelFilter: "absent"}).Plan(); !errors.As(err, &nothing) || nothing.SlowOnly != 0 {
		t.Errorf("a filter that matches nothing gives %v", err)
	}
	if _, err := (Selection{Suites: []string{"plan"}}).Plan(); !errors.As(err, &nothing) || nothing.SlowOnly != 1 {
		t.Errorf("a suite of slow checks alone gives %v", err)
	}
	if _, err := (Selection{LabelFilter: "asked"}).Plan(); !errors.As(err, &nothing) || !slices.Equal(nothing.OnRequest, []string{"asked"}) {
		t.Errorf("a filter that matches a suite on request alone gives %v", err)
	}
	for _, s := range []Selection{{Suites: []string{"asked"}}, {LabelFilter: "asked", Full: true}, {LabelFilter: "asked", Requested: []string{"asked"}}} {
		if plan, err := s.Plan(); err != nil || len(plan) != 1 || plan[0].ID != "ASKED-001" {
			t.Errorf("%+v gives %v, %v", s, plan, err)
		}
	}
	plan, err := Selection{Suites: []string{"plan"}, LabelFilter: "plan-001 && slow", Full: true}.Plan()
	if err != nil || len(plan) != 1 || plan[0].ID != "PLAN-001" {
		t.Errorf("plan %v, %v", plan, err)
	}
}
