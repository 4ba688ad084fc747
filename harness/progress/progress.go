// Package progress shows a run while it goes on: on a terminal one line a
// suite that is redrawn, elsewhere one plain line for each suite that ended.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// redrawEvery is often enough for a clock that shows tenths of a second.
const redrawEvery = 100 * time.Millisecond

// Style says how to draw.
type Style struct {
	// Animated redraws the line of the suite under way. It needs a terminal.
	Animated bool
	Color    bool
	// Width gives the terminal's columns, asked at each redraw because windows
	// change. Unused without Animated.
	Width func() int
}

// Display observes a run and draws its progress. Writing errors are ignored:
// nobody is there to see.
type Display struct {
	w     io.Writer
	style Style
	now   func() time.Time

	mu      sync.Mutex
	planned map[string]int
	suite   string // under way; empty between suites
	since   time.Time
	current check.Check
	counts  map[check.State]int
	stop    chan struct{}
	stopped sync.WaitGroup
}

// New returns a Display on w.
func New(w io.Writer, style Style) *Display {
	return &Display{w: w, style: style, now: time.Now, planned: map[string]int{}}
}

// Started notes how many checks each suite has, and starts to redraw.
func (d *Display) Started(_ *report.Report, plan []check.Check) {
	for _, c := range plan {
		d.planned[c.Suite]++
	}
	if !d.style.Animated {
		return
	}
	stop := make(chan struct{})
	d.stop = stop
	d.stopped.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				d.mu.Lock()
				d.redraw()
				d.mu.Unlock()
			}
		}
	})
}

// Began shows the check as the current one.
func (d *Display) Began(c check.Check) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enter(c.Suite)
	d.current = c
	d.redraw()
}

// Ended counts the check, and prints it where it needs attention.
func (d *Display) Ended(c report.Check) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enter(c.Suite)
	d.counts[c.State]++
	switch c.State {
	case check.Fail, check.Warn, check.Inconclusive:
		d.clear()
		word := strings.ToUpper(string(c.State))
		if d.style.Color {
			word = report.Paint(c.State, word)
		}
		_, _ = fmt.Fprintf(d.w, "%s %s: %s\n", word, c.ID, terminal.Harmless(c.Title))
	}
	d.redraw()
}

// Measured shows nothing: figures stand in the report.
func (d *Display) Measured(bench.Result) {}

// Examined shows nothing: it stands in the report.
func (d *Display) Examined(report.Firewall) {}

// Finished ends the last suite's line.
func (d *Display) Finished(*report.Report) {
	d.Close()
}

// Close ends the display: the terminal is left at the start of a fresh line.
// It may be called more than once, also in mid-run.
func (d *Display) Close() {
	d.mu.Lock()
	d.leave()
	stop := d.stop
	d.stop = nil
	d.mu.Unlock()
	if stop != nil {
		close(stop)
		d.stopped.Wait()
	}
}

func (d *Display) enter(suite string) {
	if suite == d.suite {
		return
	}
	d.leave()
	d.suite, d.since, d.counts, d.current = suite, d.now(), map[check.State]int{}, check.Check{}
}

// leave prints the final line of the suite under way.
func (d *Display) leave() {
	if d.suite == "" {
		return
	}
	d.clear()
	_, _ = fmt.Fprintf(d.w, "%s  %s\n", d.head(), d.tally(d.style.Color))
	d.suite = ""
}

func (d *Display) clear() {
	if d.style.Animated {
		_, _ = io.WriteString(d.w, "\r\x1b[K")
	}
}

func (d *Display) redraw() {
	if !d.style.Animated || d.suite == "" {
		return
	}
	// A line that wraps could not be taken back by a carriage return.
	room := d.style.Width() - 1 - terminal.Columns(d.head()+"  "+d.tally(false))
	line := d.head() + "  " + d.tally(d.style.Color)
	if d.current.ID != "" && room > 2 {
		line += "  " + terminal.Shorten(d.current.ID+" "+terminal.Harmless(d.current.Title), room-2)
	}
	if room < 0 {
		line = terminal.Shorten(d.suite, d.style.Width()-1)
	}
	_, _ = io.WriteString(d.w, "\r\x1b[K"+line)
}

func (d *Display) head() string {
	done := 0
	for _, n := range d.counts {
		done += n
	}
	return fmt.Sprintf("%-12s %3d/%-3d %5.1f s", d.suite, done, d.planned[d.suite], d.now().Sub(d.since).Seconds())
}

// tally lists the states that occurred, those that need attention first.
func (d *Display) tally(color bool) string {
	var parts []string
	for _, state := range check.States {
		n := d.counts[state]
		if n == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", n, state)
		if color {
			part = report.Paint(state, part)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
