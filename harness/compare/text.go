package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// JSON writes comparisons as one indented document.
func JSON(all ...*Comparison) func(io.Writer) error {
	return func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(Comparisons{SchemaVersion, all}); err != nil {
			return fmt.Errorf("write the comparison as JSON: %w", err)
		}
		return nil
	}
}

// listed is how many lines a list has before the rest is counted: all are in the
// JSON form.
const listed = 20

// Text writes a comparison for a terminal: what differs of the machines first, the
// worst of the rest next, the verdict last.
func Text(c *Comparison, style report.Style) func(io.Writer) error {
	return func(w io.Writer) error {
		p := &printout{style: style}
		p.sides(c)
		p.host(c)
		p.checks(c.Checks)
		p.listeners(c.Listeners)
		p.firewall(c.Firewall)
		p.settings(c.Settings)
		p.benchmarks(c)
		p.line(0, c.Verdict, "%s", c.Sentence())
		if _, err := io.WriteString(w, p.String()); err != nil {
			return fmt.Errorf("write the comparison: %w", err)
		}
		return nil
	}
}

// printout gathers lines.
type printout struct {
	strings.Builder
	style report.Style
}

// states are those whose colours verdicts have.
var states = map[judge.Verdict]check.State{judge.Regression: check.Fail, judge.Improvement: check.Pass, judge.Inconclusive: check.Inconclusive}

// painted is a text in the colour of a verdict.
func (p *printout) painted(v judge.Verdict, text string) string {
	state, coloured := states[v]
	if !coloured || !p.style.Color {
		return text
	}
	return report.Paint(state, text)
}

// line puts one paragraph, wrapped. What of it somebody else chose cannot do
// anything there but be read.
func (p *printout) line(indent int, v judge.Verdict, format string, args ...any) {
	text := shown(fmt.Sprintf(format, args...))
	for i, line := range terminal.Wrap(text, max(p.style.Width, leastWidth)-indent) {
		hang := ""
		if i > 0 && indent > 0 {
			hang = "  "
		}
		fmt.Fprintf(p, "%s%s%s\n", strings.Repeat(" ", indent), hang, p.painted(v, line))
	}
}

// leastWidth keeps the table of figures whole.
const leastWidth = 80

func (p *printout) gap() { p.WriteByte('\n') }

// shown is a string of unknown origin on one line.
func shown(s string) string { return strings.ReplaceAll(terminal.Harmless(s), "\n", " ") }

// most keeps a list short, and says how much is left out.
func most[T any](p *printout, list []T, print func(T)) {
	for i, one := range list {
		if i == listed && len(list) > listed+1 {
			p.line(2, "", "and %d more: --json has all", len(list)-listed)
			return
		}
		print(one)
	}
}

func (p *printout) sides(c *Comparison) {
	for _, s := range []struct {
		name string
		Side
	}{{"base", c.Base}, {"new ", c.New}} {
		parts := []string{s.Source}
		if s.Hostname != "" {
			parts = append(parts, s.Hostname)
		}
		if !s.Started.IsZero() {
			parts = append(parts, s.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		if s.Interrupted {
			parts = append(parts, "interrupted")
		}
		p.line(0, "", "%s  %s", s.name, strings.Join(parts, " · "))
	}
	p.gap()
}

func (p *printout) host(c *Comparison) {
	if len(c.Host) == 0 {
		return
	}
	p.line(0, "", "The machines or what ran on them differ, which may explain the rest:")
	for _, d := range c.Host {
		p.line(2, "", "%s: %s → %s", d.What, d.Base, d.New)
	}
	p.gap()
}

func (p *printout) checks(all []CheckChange) {
	if len(all) == 0 {
		return
	}
	p.line(0, "", "checks")
	for _, change := range changes {
		var these []CheckChange
		for _, one := range all {
			if one.Change == change {
				these = append(these, one)
			}
		}
		most(p, these, p.check)
	}
	p.gap()
}

func (p *printout) check(one CheckChange) {
	verdict := map[Change]judge.Verdict{Worse: judge.Regression, Better: judge.Improvement}[one.Change]
	switch one.Change {
	case Appeared:
		p.line(2, "", "appeared  %s %s: %s", one.ID, one.Title, one.New)
	case Gone:
		p.line(2, "", "gone      %s %s: was %s", one.ID, one.Title, one.Base)
	default:
		p.line(2, verdict, "%-8s  %s %s: %s → %s", one.Change, one.ID, one.Title, one.Base, one.New)
	}
	if severity(one.New) > 0 && one.Message != "" {
		first, _, _ := strings.Cut(strings.TrimSpace(one.Message), "\n")
		p.line(12, "", "%s", first)
	}
}

func (p *printout) listeners(all []ListenerChange) {
	if len(all) == 0 {
		return
	}
	p.line(0, "", "listeners")
	most(p, all, func(l ListenerChange) {
		text := fmt.Sprintf("%-8s  %s port %d at %s", l.Change, l.Protocol, l.Port, l.Address)
		if l.Process != "" {
			text += ": " + l.Process
		}
		for _, more := range []string{l.Unit, l.Container} {
			if more != "" {
				text += ", " + more
			}
		}
		p.line(2, "", "%s", text)
	})
	p.gap()
}

func (p *printout) settings(all []Difference) {
	if len(all) == 0 {
		return
	}
	p.line(0, "", "settings")
	most(p, all, func(d Difference) { p.line(2, "", "%s: %s → %s", d.What, d.Base, d.New) })
	p.gap()
}
