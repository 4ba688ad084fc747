package fleet

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

var (
	//go:embed fleet.html
	fleetHTML string
	//go:embed fleet.css
	fleetCSS string

	fleetTemplate = report.PageTemplate("fleet", fleetHTML)
)

// JSON writes everything as one indented document.
func (f *Fleet) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f); err != nil {
		return fmt.Errorf("write the merged reports as JSON: %w", err)
	}
	return nil
}

// fleetView is a Fleet as the template wants it.
type fleetView struct {
	report.Head
	*Fleet
	Verdict      check.State
	States       []check.State
	Unjudged     int
	MinMachines  int
	MaxDeviation float64
	MinEffect    float64
}

// HTML writes one page that asks for nothing but itself, under the same strict
// policy as a report.
func (f *Fleet) HTML(w io.Writer) error {
	v := fleetView{
		Head: report.NewHead("loopcheck · "+counted(len(f.Machines), "machine"), fleetCSS), Fleet: f, Verdict: f.verdict(), States: check.States, Unjudged: f.unjudged(),
		MinMachines: minMachines, MaxDeviation: maxDeviation, MinEffect: minEffect,
	}
	if err := fleetTemplate.Execute(w, v); err != nil {
		return fmt.Errorf("write the merged reports as HTML: %w", err)
	}
	return nil
}

// verdict is the worst of all machines.
func (f *Fleet) verdict() check.State {
	for _, state := range check.States {
		for _, m := range f.Machines {
			if m.Summary.Verdict == state {
				return state
			}
		}
	}
	return check.Skip
}

// Text writes what is worth a look, for a terminal of some columns.
func (f *Fleet) Text(w io.Writer, columns int) error {
	var out strings.Builder
	say := func(indent int, format string, args ...any) {
		for _, line := range terminal.Wrap(fmt.Sprintf(format, args...), columns-indent) {
			fmt.Fprintf(&out, "%s%s\n", strings.Repeat(" ", indent), line)
		}
	}
	for _, g := range f.Groups {
		say(0, "%s: kernel %s, %s", counted(len(g.Machines), "machine"), g.Kernel, g.CPU)
		say(2, "%s", strings.Join(g.Machines, ", "))
	}
	for _, c := range f.Checks {
		out.WriteByte('\n')
		say(0, "%s %s", c.ID, c.Title)
		for _, state := range c.asked() {
			say(2, "%s: %s", state, strings.Join(f.on(c, state), ", "))
		}
		if len(c.GoesWith) > 0 {
			say(2, "goes with: %s", strings.Join(c.GoesWith, ", "))
		}
	}
	for _, b := range f.Benchmarks {
		for _, o := range b.Outliers {
			out.WriteByte('\n')
			say(0, "%s on %s", b.Name, o.Machine)
			say(2, "%s, %+.0f %% from the median of %d machines with %s, %s; %.1f robust standard deviations",
				report.Latency(o.MedianNS), 100*o.Effect, len(b.Machines), b.CPU, report.Latency(b.MedianNS), o.Deviation)
		}
	}
	out.WriteByte('\n')
	if n := f.unjudged(); n > 0 {
		say(0, "%s on fewer than %d machines with the same processors: no outlier can be told.", counted(n, "benchmark"), minMachines)
	}
	for _, u := range f.Unreadable {
		say(0, "Not read: %s: %s", u.Path, u.Reason)
	}
	say(0, "%s", f.Sentence())
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write the merged reports: %w", err)
	}
	return nil
}
