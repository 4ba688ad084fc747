package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

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
