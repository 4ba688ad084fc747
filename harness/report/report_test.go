package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// inStates is a report of one check for each state, TCP-001 onward.
func inStates(states ...check.State) *Report {
	r := &Report{Duration: 3200 * time.Millisecond}
	for i, state := range states {
		r.Checks = append(r.Checks, Check{ID: "TCP-" + string(rune('A'+i)), Suite: "tcp", State: state})
	}
	r.Summary = Summarize(r.Checks)
	return r
}

func repeat(state check.State, n int) []check.State {
	states := make([]check.State, n)
	for i := range states {
		states[i] = state
	}
	return states
}

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		name   string
		states []check.State
		want   Summary
	}{
		{"nothing", nil, Summary{Verdict: check.Skip}},
		{"passed", []check.State{check.Pass, check.Pass}, Summary{Verdict: check.Pass, Passed: 2, Total: 2}},
		{"skips leave a pass", []check.State{check.Skip, check.Pass}, Summary{Verdict: check.Pass, Passed: 1, Skipped: 1, Total: 2}},
		{"all skipped", []check.State{check.Skip}, Summary{Verdict: check.Skip, Skipped: 1, Total: 1}},
		{"interrupted", []check.State{check.Pass, check.Interrupted}, Summary{Verdict: check.Interrupted, Passed: 1, Interrupted: 1, Total: 2}},
		{"inconclusive goes before", []check.State{check.Interrupted, check.Inconclusive}, Summary{Verdict: check.Inconclusive, Inconclusive: 1, Interrupted: 1, Total: 2}},
		{"warn goes before", []check.State{check.Inconclusive, check.Warn}, Summary{Verdict: check.Warn, Warned: 1, Inconclusive: 1, Total: 2}},
		{"fail goes before all", []check.State{check.Pass, check.Warn, check.Skip, check.Fail}, Summary{Verdict: check.Fail, Passed: 1, Failed: 1, Warned: 1, Skipped: 1, Total: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := inStates(c.states...)
			if diff := cmp.Diff(c.want, r.Summary); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			sum := 0
			for _, state := range check.States {
				sum += r.Summary.Count(state)
			}
			if sum != r.Summary.Total {
				t.Errorf("the states count %d of %d checks", sum, r.Summary.Total)
			}
		})
	}
}

func TestAttentionIsWorstFirst(t *testing.T) {
	r := inStates(check.Pass, check.Warn, check.Skip, check.Fail, check.Interrupted, check.Inconclusive, check.Fail, check.Warn)
	if got, want := ids(r.Attention()), "TCP-D, TCP-G, TCP-B, TCP-H, TCP-F, TCP-E"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := inStates(check.Pass, check.Skip).Attention(); len(got) != 0 {
		t.Errorf("%v needs attention where nothing does", got)
	}
}

func TestRootCauses(t *testing.T) {
	lone := diagnose.Cause{ID: "lone", Summary: "explains one"}
	shared := diagnose.Cause{ID: "shared", Summary: "explains two"}
	mendLone := diagnose.Remedy{Command: "mend lone", Cause: "lone"}
	mendShared := diagnose.Remedy{Command: "mend shared", Cause: "shared"}
	another := diagnose.Remedy{Command: "mend shared otherwise", Cause: "shared"}
	r := inStates(check.Fail, check.Skip, check.Warn, check.Skip)
	r.Checks[0] = causedBy(shared, mendShared, causedBy(lone, mendLone, r.Checks[0]))
	r.Checks[1] = causedBy(lone, mendLone, r.Checks[1])
	sharedAgain := shared
	sharedAgain.Evidence = []string{"read a moment later"}
	r.Checks[2] = causedBy(sharedAgain, another, r.Checks[2])
	r.Checks[3] = causedBy(lone, mendLone, r.Checks[3])

	want := []RootCause{
		{Cause: shared, Remedies: []diagnose.Remedy{mendShared, another}, Explains: []string{"TCP-A", "TCP-C"}},
		{Cause: lone, Remedies: []diagnose.Remedy{mendLone}, Explains: []string{"TCP-A"}},
	}
	if diff := cmp.Diff(want, r.RootCauses()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A cause is told of once: a further group only names it, with what would mend
// it there and was not told yet.
func TestSkipGroupsTellACauseOnce(t *testing.T) {
	lone := diagnose.Cause{ID: "lone", Summary: "explains a skip"}
	shared := diagnose.Cause{ID: "shared", Summary: "explains a failure too"}
	dark := diagnose.Unseen{What: "the cellar", Why: "it is dark"}
	r := inStates(check.Skip, check.Fail, check.Skip, check.Skip, check.Skip)
	for i, need := range map[int]check.Need{0: check.NetRaw, 2: check.OpenFiles, 3: check.NetRaw, 4: check.OpenFiles} {
		r.Checks[i].Missing = &check.Missing{Need: need}
	}
	for _, i := range []int{0, 2} {
		r.Checks[i] = causedBy(lone, diagnose.Remedy{Command: "mend", Cause: "lone"}, r.Checks[i])
	}
	for i, command := range map[int]string{1: "mend", 2: "mend", 4: "mend otherwise"} {
		r.Checks[i] = causedBy(shared, diagnose.Remedy{Command: command, Cause: "shared"}, r.Checks[i])
	}
	r.Checks[3].Unseen = []diagnose.Unseen{dark}

	type cause struct {
		ID           string
		Remedies     string
		Told, Partly bool
	}
	type group struct {
		Need, Checks string
		Causes       []cause
		Unseen       []unseenPlace
	}
	var got []group
	for _, g := range r.skipGroups() {
		seen := group{Need: g.Need, Checks: ids(g.Checks), Unseen: g.Unseen}
		for _, c := range g.Causes {
			var remedies []string
			for _, remedy := range c.Remedies {
				remedies = append(remedies, remedy.Command)
			}
			seen.Causes = append(seen.Causes, cause{c.ID, strings.Join(remedies, ", "), c.Told, c.Partly})
		}
		got = append(got, seen)
	}
	want := []group{
		{
			Need: check.NetRaw.Name, Checks: "TCP-A, TCP-D", Causes: []cause{{ID: "lone", Remedies: "mend", Partly: true}},
			Unseen: []unseenPlace{{Unseen: dark, Checks: []string{"TCP-D"}}},
		},
		{
			Need: check.OpenFiles.Name, Checks: "TCP-C, TCP-E",
			Causes: []cause{{ID: "shared", Remedies: "mend otherwise", Told: true}, {ID: "lone", Told: true, Partly: true}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSentence(t *testing.T) {
	all := func(groups ...[]check.State) []check.State {
		var states []check.State
		for _, g := range groups {
			states = append(states, g...)
		}
		return states
	}
	for _, c := range []struct {
		states []check.State
		want   string
	}{
		{nil, "No check was run, so nothing is known of this machine."},
		{repeat(check.Pass, 22), "The loopback stack is sound: 22 of 22 checks passed in 3.2 s."},
		{repeat(check.Pass, 1), "The loopback stack is sound: 1 of 1 check passed in 3.2 s."},
		{all(repeat(check.Pass, 20), repeat(check.Skip, 2)), "The loopback stack is sound as far as it was asked: 20 of 22 checks passed in 3.2 s, 2 skipped."},
		{repeat(check.Skip, 24), "Nothing was verified: all 24 checks were skipped."},
		{repeat(check.Skip, 1), "Nothing was verified: the one check was skipped."},
		{all(repeat(check.Fail, 2), repeat(check.Pass, 22)), "2 of 24 checks failed: TCP-A, TCP-B."},
		{all(repeat(check.Fail, 7), repeat(check.Warn, 1)), "7 of 8 checks failed: TCP-A, TCP-B, TCP-C, TCP-D, TCP-E and 2 more; 1 more warns."},
		{all(repeat(check.Warn, 1), repeat(check.Pass, 3)), "Nothing failed, but 1 of 4 checks warns: TCP-A."},
		{all(repeat(check.Warn, 2), repeat(check.Skip, 2)), "Nothing failed, but 2 of 4 checks warn: TCP-A, TCP-B."},
		{all(repeat(check.Inconclusive, 1), repeat(check.Pass, 3)), "Nothing failed, but 1 of 4 checks came to no conclusion: TCP-A."},
		{all(repeat(check.Pass, 5), repeat(check.Interrupted, 19)), "Interrupted after 5 of 24 checks; nothing failed until then."},
		{all(repeat(check.Fail, 1), repeat(check.Interrupted, 1)), "Interrupted after 1 of 2 checks; 1 failed until then: TCP-A."},
		{all(repeat(check.Warn, 1), repeat(check.Interrupted, 1)), "Interrupted after 1 of 2 checks; nothing failed until then, 1 warned: TCP-A."},
		{all(repeat(check.Skip, 3), repeat(check.Interrupted, 1)), "Interrupted after 3 of 4 checks; nothing was verified until then."},
		{repeat(check.Interrupted, 4), "Interrupted before the first of 4 checks ended."},
	} {
		if got := inStates(c.states...).Sentence(); got != c.want {
			t.Errorf("%v:\ngot  %s\nwant %s", c.states, got, c.want)
		}
	}
}

// TestSoundnessIsNeverClaimedOfABadRun tries every mixture of states.
func TestSoundnessIsNeverClaimedOfABadRun(t *testing.T) {
	for mixture := range 1 << len(check.States) {
		for _, interrupted := range []bool{false, true} {
			var states []check.State
			sound := !interrupted
			for i, state := range check.States {
				if mixture>>i&1 == 1 {
					states = append(states, state)
					sound = sound && (state == check.Pass || state == check.Skip)
				}
			}
			r := inStates(states...)
			r.Interrupted = interrupted
			sound = sound && r.Summary.Passed > 0
			if got := strings.Contains(r.Sentence(), "sound"); got != sound {
				t.Errorf("%v, interrupted %v: %s", states, interrupted, r.Sentence())
			}
		}
	}
}

func TestHumanUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{humanNS(0), "0 ns"},
		{humanNS(54.2), "54.2 ns"},
		{humanNS(14212), "14.2 µs"},
		{humanNS(999_940), "1.00 ms"},
		{humanNS(1_234_567), "1.23 ms"},
		{humanNS(2.5e9), "2.50 s"},
		{humanNS(12_345e9), "12,345 s"},
		{humanInterval(13_900, 14_600), "13.9–14.6 µs"},
		{humanInterval(0, 0), "–"},
		{humanRate(68_412.4), "68,412/s"},
		{humanDuration(0), "0 s"},
		{humanDuration(412 * time.Microsecond), "412 µs"},
		{humanDuration(999_600 * time.Microsecond), "1.0 s"},
		{humanDuration(3217 * time.Millisecond), "3.2 s"},
		{humanDuration(12 * time.Second), "12 s"},
		{humanDuration(59_700 * time.Millisecond), "1 min 0 s"},
		{humanDuration(65 * time.Second), "1 min 5 s"},
		{grouped("-1234567.5"), "-1,234,567.5"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain\nlines":     "plain\nlines",
		"日本 naïve e\u0301": "日本 naïve e\u0301",
		"\x1b[31m\r\x00":   `\x1b[31m\r\x00`,
		"a\tb":             "a    b",
		"\u202e\u200f":     `\u202e\u200f`,
		"\xff\xc3":         `\xff\xc3`,
		"\U000e0041":       `\U000e0041`,
		"\u0085\u2028":     `\u0085\u2028`,
		"kept \ufffd":      "kept \ufffd",
	} {
		if got := terminal.Harmless(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
