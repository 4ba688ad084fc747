package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

func TestTextGolden(t *testing.T) {
	golden(t, "fixture.txt", rendered(t, Text(fixture(t), Style{})))
	golden(t, "fixture-colour.txt", rendered(t, Text(fixture(t), Style{Color: true, Width: 100})))
	golden(t, "healthy.txt", rendered(t, Text(healthy(t), Style{})))
}

func TestTextFitsTheTerminal(t *testing.T) {
	for _, width := range []int{76, 80, 132} {
		for line := range strings.Lines(string(rendered(t, Text(fixture(t), Style{Width: width})))) {
			line = strings.TrimSuffix(line, "\n")
			if strings.Contains(line, "remedy ") {
				continue // a command is never broken
			}
			if got := terminal.Columns(line); got > width {
				t.Errorf("at %d columns a line has %d: %q", width, got, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("blanks at the end of %q", line)
			}
		}
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]+m")

func TestTextWritesNoEscapeOfTheMachine(t *testing.T) {
	colourless := string(rendered(t, Text(fixture(t), Style{})))
	coloured := string(rendered(t, Text(fixture(t), Style{Color: true})))
	if sgr.ReplaceAllString(coloured, "") != colourless {
		t.Error("colour changes more than colour")
	}
	for _, r := range colourless {
		if terminal.Harmless(string(r)) != string(r) {
			t.Errorf("%U is written raw", r)
		}
	}
	if !strings.Contains(colourless, `web-1<script>alert(1)</script>\x1b[31m\x07\u202e\x00\xff`) {
		t.Errorf("the host name is not written out:\n%s", colourless)
	}
}

func TestTextCutsALongMessage(t *testing.T) {
	r := fixture(t)
	r.Checks[1].Message = strings.Repeat("line\n", 500) + "last"
	text := string(rendered(t, Text(r, Style{})))
	if !strings.Contains(text, "… 481 more lines in the report") || strings.Contains(text, "last") {
		t.Errorf("a message of 501 lines is not cut to %d:\n%s", messageLines, text)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		name, text string
		width      int
		want       []string
	}{
		{"short", "one line", 20, []string{"one line"}},
		{"blanks", "one two three", 7, []string{"one two", "three"}},
		{"indented", "    one two three", 11, []string{"    one two", "    three"}},
		{"long word", "abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"wide characters", "日本語日本語", 6, []string{"日本語", "日本語"}},
		{"lines", "a\n\nb", 4, []string{"a", "", "b"}},
		{"narrower than a character", "日", 1, []string{"日"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := terminal.Wrap(c.text, c.width)
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A failure whose cause was not found sends its reader to the usual ones.
func TestTextPointsToExplain(t *testing.T) {
	for _, state := range check.States {
		for _, causes := range [][]diagnose.Cause{nil, {{ID: "lo-down", Summary: "The loopback interface lo is down."}}} {
			r := inStates(state)
			r.Checks[0].Causes = causes
			want := (state == check.Fail || state == check.Warn) && len(causes) == 0
			text := string(rendered(t, Text(r, Style{})))
			if got := strings.Contains(text, "         see     loopcheck explain TCP-A\n"); got != want {
				t.Errorf("%s with %d causes: %v, want %v:\n%s", state, len(causes), got, want, text)
			}
		}
	}
}

// One root cause behind many checks is told once, not with each of them.
func TestTextTellsACauseOfManyChecksOnce(t *testing.T) {
	down := diagnose.Cause{ID: "lo-down", Summary: "The loopback interface lo is down."}
	var r Report
	for i := range repeatedChecks + 1 {
		r.Checks = append(r.Checks, Check{
			ID: fmt.Sprintf("TCP-%03d", i), State: check.Fail, Message: "network is unreachable", Causes: []diagnose.Cause{down},
		})
	}
	for checks, findings := range map[int]int{repeatedChecks: repeatedChecks, repeatedChecks + 1: 0} {
		few := r
		few.Checks = r.Checks[:checks]
		few.Summary = Summarize(few.Checks)
		var printed strings.Builder
		if err := Text(&few, Style{})(&printed); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(printed.String(), "network is unreachable"); n != findings {
			t.Errorf("%d checks: %d are shown for themselves, want %d:\n%s", checks, n, findings, printed.String())
		}
		if !strings.Contains(printed.String(), "TCP-002") || strings.Count(printed.String(), "CAUSE  ") != 1 {
			t.Errorf("%d checks: the cause should name them once:\n%s", checks, printed.String())
		}
	}
}

// Where a cause may be that was not found is told once, for all the checks that
// lack one.
func TestTextTellsWhatWasNotLookedAtOnce(t *testing.T) {
	r := inStates(check.Fail, check.Fail, check.Skip)
	for i := range r.Checks {
		r.Checks[i].Unseen = []diagnose.Unseen{{What: "netfilter rules", Why: "reading them takes CAP_NET_ADMIN: run as root"}}
	}
	attention, skipped, _ := strings.Cut(string(rendered(t, Text(r, Style{}))), "\nSkipped\n")
	want := "  NOT LOOKED AT  netfilter rules\n" +
		"         reading them takes CAP_NET_ADMIN: run as root\n" +
		"         for       TCP-A, TCP-B\n"
	if !strings.Contains(attention, want) || strings.Count(attention, "netfilter rules") != 1 {
		t.Errorf("it is not told once:\n%s", attention)
	}
	if want := "         unseen    netfilter rules: reading them takes CAP_NET_ADMIN"; !strings.Contains(skipped, want) {
		t.Errorf("it is not told of the skip:\n%s", skipped)
	}
}

// Why a check could not be asked stands with the skip, not with what fails.
func TestTextTellsTheCauseOfASkipWithTheSkip(t *testing.T) {
	limit := diagnose.Cause{ID: "open-files", Summary: "This process may open 256 files.", Evidence: []string{"RLIMIT_NOFILE: 256"}}
	raise := diagnose.Remedy{Command: "ulimit -n 4096", Cause: limit.ID, Note: "In the shell that starts loopcheck."}
	r := inStates(check.Skip, check.Skip, check.Fail)
	for i := range 2 {
		r.Checks[i].Missing = &check.Missing{Need: check.OpenFiles}
		r.Checks[i] = causedBy(limit, raise, r.Checks[i])
	}
	attention, skipped, _ := strings.Cut(string(rendered(t, Text(r, Style{}))), "\nSkipped\n")
	if strings.Contains(attention, limit.Summary) {
		t.Errorf("the cause of a skip needs attention:\n%s", attention)
	}
	want := "         for       TCP-A, TCP-B\n" +
		"         cause     This process may open 256 files.\n" +
		"                   RLIMIT_NOFILE: 256\n" +
		"         remedy    ulimit -n 4096\n" +
		"                   In the shell that starts loopcheck.\n"
	if !strings.Contains(skipped, want) || strings.Count(skipped, limit.Summary) != 1 {
		t.Errorf("the cause is not told once, as\n%s\nbut\n%s", want, skipped)
	}
}

// A suite whose checks all ran into their deadlines takes minutes.
func TestTextKeepsTheTimeOfASuiteApart(t *testing.T) {
	r := inStates(repeat(check.Fail, 20)...)
	for i := range r.Checks {
		r.Checks[i].Duration = 10 * time.Second
	}
	if text := string(rendered(t, Text(r, Style{}))); !strings.Contains(text, "    20  3 min 20 s\n") {
		t.Errorf("the time runs into another column:\n%s", text)
	}
}
