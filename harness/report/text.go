package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// Text writes the summary for a terminal: what ran, what needs attention, what
// was skipped, the verdict. What the machine named is made harmless first.
func Text(r *Report, style Style) func(io.Writer) error {
	return func(w io.Writer) error {
		r := HarmlessCopy(r)
		p := newPrintout(style)
		p.header(r.Tool, r.Host)
		p.suites(r)
		p.benchmarks(r.Benchmarks)
		p.attention(r)
		p.skips(r)
		p.line()
		for _, line := range terminal.Wrap(r.Sentence(), p.style.Width) {
			p.line(p.paint(bold+";"+stateInk[r.Summary.Verdict], line))
		}
		_, err := io.WriteString(w, p.String())
		return err
	}
}

// header puts what was run on what, the facts kept whole where a line breaks.
func (p *printout) header(tool Tool, machine host.Facts) {
	const separator = " · "
	facts := append([]string{"loopcheck " + tool.Version}, hostFacts(machine)...)
	line := ""
	for _, fact := range facts {
		fact = terminal.Shorten(oneLine(fact), p.style.Width-4)
		switch {
		case line == "":
			line = fact
		case terminal.Columns(line)+terminal.Columns(separator)+terminal.Columns(fact) <= p.style.Width:
			line += separator + fact
		default:
			p.line(p.paint(faint, line))
			line = "  " + fact
		}
	}
	p.line(p.paint(faint, line))
}

// hostFacts are what tells the machine apart from others, as far as known.
func hostFacts(h host.Facts) []string {
	facts := []string{
		h.Hostname,
		h.OS,
		strings.TrimSpace("kernel " + h.Kernel + " " + h.Arch),
		processors(h.CPUs),
		h.Virtualization,
		h.Container,
	}
	if h.Kernel == "" {
		facts[2] = h.Arch
	}
	if h.Virtualization == "none" {
		facts[4] = "bare metal"
	}
	return slices.DeleteFunc(facts, func(s string) bool { return s == "" })
}

// processors counts the logical processors by model.
func processors(cpus []host.CPU) string {
	counts := map[string]int{}
	var models []string
	for _, c := range cpus {
		model := cmp.Or(c.Model, "CPU")
		if counts[model] == 0 {
			models = append(models, model)
		}
		counts[model]++
	}
	for i, model := range models {
		models[i] = fmt.Sprintf("%d × %s", counts[model], model)
	}
	return strings.Join(models, " + ")
}

// tableStates are the states in the order of the table's columns.
var tableStates = []check.State{check.Pass, check.Fail, check.Warn, check.Inconclusive, check.Interrupted, check.Skip}

// suites puts a row for each suite, with a column for each state that occurs.
func (p *printout) suites(r *Report) {
	suites := r.suites()
	if len(suites) == 0 {
		return
	}
	states := slices.DeleteFunc(slices.Clone(tableStates), func(s check.State) bool {
		return s != check.Pass && r.Summary.Count(s) == 0
	})
	const gap, leastTitle = 2, 12
	nameWidth, timeWidth := len("suite"), 7
	for _, s := range suites {
		nameWidth = max(nameWidth, min(terminal.Columns(s.Name), 12))
		timeWidth = max(timeWidth, terminal.Columns(humanDuration(took(r.checksOf(s.Name)))))
	}
	titleWidth := p.style.Width - nameWidth - 2 - timeWidth - gap
	head := ""
	for _, s := range states {
		head += terminal.PadLeft(string(s), gap+max(len(s), 4))
		titleWidth -= gap + max(len(s), 4)
	}
	longest := 0
	for _, s := range suites {
		longest = max(longest, terminal.Columns(s.Title))
	}
	if titleWidth = min(titleWidth, longest); titleWidth < min(leastTitle, longest) {
		titleWidth = 0
	}

	p.line()
	p.line(p.paint(faint, terminal.PadRight("suite", nameWidth+2+titleWidth)+head+terminal.PadLeft("time", gap+timeWidth)))
	for _, s := range suites {
		checks := r.checksOf(s.Name)
		row := terminal.PadRight(terminal.Shorten(oneLine(s.Name), nameWidth), nameWidth+2)
		row += p.paint(faint, terminal.PadRight(terminal.Shorten(oneLine(s.Title), titleWidth), titleWidth))
		counts := Summarize(checks)
		for _, state := range states {
			width := gap + max(len(state), 4)
			if n := counts.Count(state); n > 0 {
				row += p.paint(stateInk[state], terminal.PadLeft(fmt.Sprint(n), width))
			} else {
				row += p.paint(faint, terminal.PadLeft("·", width))
			}
		}
		p.line(row, terminal.PadLeft(humanDuration(took(checks)), gap+timeWidth))
	}
}
