package main

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/lab/report"
)

// outcome is what came of one start of the command.
type outcome struct {
	// exit is the exit code in digits, the name of the signal that ended the
	// command, or "timeout".
	exit     string
	duration time.Duration
	rssBytes int64
	report   report.Report
	err      error  // why there is no report
	stderr   string // its last line, if any
}

// finding is one verdict other than pass, as often as it was given alike.
type finding struct{ id, state, message string }

// tally adds up the runs of one variant.
type tally struct {
	variant string
	// blocked is why the variant cannot be run here; empty if it can.
	blocked   string
	runs, bad int
	exits     map[string]int
	states    map[string]int
	findings  map[finding]int
	problems  map[string]int
	durations []time.Duration
	rssBytes  int64 // the greatest
	// left are the lines of leftovers, as often as they were seen alike.
	left   map[string]int
	unseen []string
}

func newTally(variant string) *tally {
	return &tally{
		variant:  variant,
		exits:    map[string]int{},
		states:   map[string]int{},
		findings: map[finding]int{},
		problems: map[string]int{},
		left:     map[string]int{},
	}
}

// add counts one run with what is wrong with it.
func (t *tally) add(o outcome, wrong []string) {
	t.runs++
	if len(wrong) > 0 {
		t.bad++
	}
	t.exits[o.exit]++
	t.durations = append(t.durations, o.duration)
	t.rssBytes = max(t.rssBytes, o.rssBytes)
	for _, w := range wrong {
		t.problems[w]++
	}
	for _, c := range o.report.Checks {
		t.states[c.State]++
		if c.State != "pass" {
			t.findings[finding{c.ID, c.State, c.Message}]++
		}
	}
}

// addLeft counts what a run, or two at a time, left behind.
func (t *tally) addLeft(lines []string) {
	for _, line := range lines {
		t.left[line]++
	}
}

// good says that the variant proved what it is for.
func (t *tally) good() bool {
	return t.blocked == "" && t.runs > 0 && t.bad == 0 && len(t.left) == 0
}

func median(durations []time.Duration) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// sortedFindings orders the findings worst state first, then by check, then the
// most frequent first.
func (t *tally) sortedFindings() []finding {
	rank := func(f finding) int { return slices.Index(report.States, f.state) }
	return slices.SortedFunc(maps.Keys(t.findings), func(a, b finding) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			cmp.Compare(a.id, b.id),
			cmp.Compare(t.findings[b], t.findings[a]),
			cmp.Compare(a.message, b.message))
	})
}

// byCount orders texts by how often they were counted, most frequent first.
func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
