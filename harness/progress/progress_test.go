package progress

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

var plan = []check.Check{
	{ID: "PING-001", Suite: "ping", Title: "answers an echo request"},
	{ID: "PING-002", Suite: "ping", Title: "answers at the last address"},
	{ID: "TCP-001", Suite: "tcp", Title: "refuses"},
}

// screen collects what is written and shows what a terminal would.
type screen struct {
	mu  sync.Mutex
	raw strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.Write(p)
}

// rows replays the carriage returns and erasures of a display.
func (s *screen) rows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []string
	for _, row := range strings.Split(s.raw.String(), "\n") {
		drawn := strings.Split(row, "\r\x1b[K")
		rows = append(rows, drawn[len(drawn)-1])
	}
	return rows
}

func outcome(c check.Check, state check.State) report.Check {
	o := report.Of(c)
	o.State = state
	return o
}

func newDisplay(s *screen, style Style) *Display {
	d := New(s, style)
	clock := time.Unix(0, 0)
	d.now = func() time.Time { return clock }
	return d
}

func play(d *Display) {
	states := []check.State{check.Pass, check.Fail, check.Skip}
	d.Started(nil, plan)
	for i, c := range plan {
		d.Began(c)
		d.Ended(outcome(c, states[i]))
	}
	d.Finished(nil)
}

var finalRows = []string{
	"FAIL PING-002: answers at the last address",
	"ping           2/2     0.0 s  1 fail, 1 pass",
	"tcp            1/1     0.0 s  1 skip",
	"",
}

func TestPlainLinesOffATerminal(t *testing.T) {
	var s screen
	play(newDisplay(&s, Style{}))
	if got, want := s.raw.String(), strings.Join(finalRows, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestATerminalEndsUpWithTheSameLines(t *testing.T) {
	var s screen
	play(newDisplay(&s, Style{Animated: true, Width: func() int { return 80 }}))
	if got, want := strings.Join(s.rows(), "\n"), strings.Join(finalRows, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheCurrentCheckIsShown(t *testing.T) {
	var s screen
	d := newDisplay(&s, Style{Animated: true, Width: func() int { return 80 }})
	d.Started(nil, plan)
	defer d.Close()
	d.Began(plan[0])
	rows := s.rows()
	if got, want := rows[len(rows)-1], "ping           0/2     0.0 s    PING-001 answers an echo request"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

var colors = regexp.MustCompile(`\x1b\[\d+m`)

// A line that wraps would leave its first row behind at each redraw.
func TestNoRowIsWiderThanTheTerminal(t *testing.T) {
	for width := 1; width < 100; width++ {
		var s screen
		d := newDisplay(&s, Style{Animated: true, Color: true, Width: func() int { return width }})
		d.Started(nil, plan)
		d.Began(plan[0])
		d.Ended(outcome(plan[0], check.Pass))
		d.Began(plan[1])
		rows := s.rows()
		d.Close()
		if n := terminal.Columns(colors.ReplaceAllString(rows[len(rows)-1], "")); n >= width && n > 0 {
			t.Errorf("at %d columns the row has %d: %q", width, n, rows[len(rows)-1])
		}
	}
}

func TestClosingInMidRunLeavesAFreshLine(t *testing.T) {
	var s screen
	d := newDisplay(&s, Style{Animated: true, Width: func() int { return 80 }})
	d.Started(nil, plan)
	d.Began(plan[0])
	d.Close()
	d.Close()
	if raw := s.raw.String(); !strings.HasSuffix(raw, "\n") {
		t.Errorf("ends with %q", raw[max(0, len(raw)-20):])
	}
}
