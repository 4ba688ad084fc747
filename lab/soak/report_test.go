package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/lab/report"
)

func result(id, state, message string, causes ...string) report.Check {
	c := report.Check{ID: id, State: state, Message: message}
	for _, cause := range causes {
		c.Causes = append(c.Causes, report.Cause{ID: cause})
	}
	return c
}

func TestJudge(t *testing.T) {
	pass := result("TCP-001", "pass", "")
	fail := result("TCP-002", "fail", "no answer")
	explained := result("TCP-002", "fail", "no answer", "lo-down")
	tests := []struct {
		name        string
		outcome     outcome
		expectFails bool
		want        []string
	}{
		{name: "all passed", outcome: outcome{exit: "0", report: report.Report{Checks: []report.Check{pass}}}},
		{
			name:    "warnings, skips and inconclusive checks are no fails",
			outcome: outcome{exit: "0", report: report.Report{Checks: []report.Check{result("A", "warn", "x"), result("B", "skip", "x"), result("C", "inconclusive", "x")}}},
		},
		{
			name:    "a fail",
			outcome: outcome{exit: "1", report: report.Report{Checks: []report.Check{pass, fail}}},
			want:    []string{"TCP-002 failed: no answer"},
		},
		{
			name:    "a fail that the exit code hides",
			outcome: outcome{exit: "0", report: report.Report{Checks: []report.Check{explained}}},
			want:    []string{"TCP-002 failed: no answer", "exit 0 with 1 failed checks, want 1"},
		},
		{
			name:    "an exit code that nothing explains",
			outcome: outcome{exit: "3", stderr: "loopcheck: out of luck", report: report.Report{Checks: []report.Check{pass}}},
			want:    []string{"exit 3 with 0 failed checks, want 0; stderr ends: loopcheck: out of luck"},
		},
		{
			name:    "no report",
			outcome: outcome{exit: "SIGSEGV", err: errors.New("stdout holds no report: it is empty"), stderr: "boom"},
			want:    []string{"exit SIGSEGV, stdout holds no report: it is empty; stderr ends: boom"},
		},
		{name: "no checks", outcome: outcome{exit: "0"}, want: []string{"the report holds no checks"}},
		{
			name:    "interrupted",
			outcome: outcome{exit: "0", report: report.Report{Interrupted: true, Checks: []report.Check{pass}}},
			want:    []string{"the report says it was interrupted"},
		},
		{name: "damaged: a fail with a cause", expectFails: true, outcome: outcome{exit: "1", report: report.Report{Checks: []report.Check{explained}}}},
		{
			name: "damaged: a fail without a cause", expectFails: true,
			outcome: outcome{exit: "1", report: report.Report{Checks: []report.Check{fail}}},
			want:    []string{"TCP-002 failed without a cause: no answer"},
		},
		{
			name: "damaged: nothing noticed", expectFails: true,
			outcome: outcome{exit: "0", report: report.Report{Checks: []report.Check{pass}}},
			want:    []string{"no check failed although the stack is damaged"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := judge(test.outcome, test.expectFails); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		durations []time.Duration
		want      time.Duration
	}{
		{nil, 0},
		{[]time.Duration{5}, 5},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{9, 1, 5, 7}, 6},
	} {
		if got := median(test.durations); got != test.want {
			t.Errorf("%v: got %d, want %d", test.durations, got, test.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	plain := newTally("plain")
	for _, message := range []string{"port 1", "port 2", "port 2", "port 3", "port 4", "port 5"} {
		o := outcome{exit: "1", duration: 2 * time.Second, rssBytes: 3 << 20}
		o.report.Checks = []report.Check{
			result("TCP-001", "pass", ""),
			result("UDP-001", "skip", "needs <root>"),
			result("TCP-002", "fail", message),
		}
		plain.add(o, judge(o, false)[:1])
	}
	plain.durations[0] = 4 * time.Second
	plain.addLeft([]string{"file left: /tmp/a|b\n"})
	plain.unseen = []string{"nftables: not root"}
	blocked := newTally("user")
	blocked.blocked = "needs root"

	var b strings.Builder
	if err := writeMarkdown(&b, []string{"./loopcheck", "run", "--out", ""}, []*tally{plain, blocked}, []string{"twice"}, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"`./loopcheck run --out ''`\n",
		"Interrupted: ",
		"| plain | 6 | 6 | 1 ×6 | 6 | 0 | 0 | 0 | 6 | 6 | 2.00 s | 4.00 s | 3.0 MiB | 1 things, see below |\n",
		"| user | 0 | | cannot be run here: needs root |",
		"| twice | 0 | | not reached |",
		"- TCP-002 failed: port 2 (×2)\n",
		`- file left: /tmp/a\|b (×1)` + "\n",
		"| TCP-002 | fail | 2 | port 2 |\n| TCP-002 | fail | 1 | port 1 |\n| TCP-002 | fail | 1 | port 3 |\n| TCP-002 | fail | 2 | (2 more messages) |\n| UDP-001 | skip | 6 | needs &lt;root> |\n",
		"- nftables: not root\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("missing %q in\n%s", want, b.String())
		}
	}
	if got := cell(strings.Repeat("é", 1000)); got != strings.Repeat("é", maxCellRunes-1)+"…" {
		t.Errorf("a long text became %q", got)
	}
	columns := -1
	for line := range strings.Lines(b.String()) {
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "| ") && strings.Contains(line, "plain") || strings.Contains(line, "twice") {
			if columns >= 0 && n != columns {
				t.Errorf("%d columns, not %d: %s", n-1, columns-1, line)
			}
			columns = n
		}
	}
}
