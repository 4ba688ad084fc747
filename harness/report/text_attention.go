package report

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// messageLines bounds what a message takes on the terminal: a long diff is for
// the report file.
const messageLines = 20

// attention puts the root causes, where there may be others, and then every
// check that did not pass.
func (p *printout) attention(r *Report) {
	if len(r.Attention()) == 0 {
		return
	}
	p.line()
	p.line(p.paint(bold, "Needs attention"))
	c := r.concerns()
	for _, root := range c.Roots {
		p.rootCause(root)
	}
	for _, place := range c.Unseen {
		p.line()
		p.labelled(2, "NOT LOOKED AT  ", bold, place.What)
		p.block(9, plain, oneLine(place.Why))
		p.labelled(9, "for       ", plain, strings.Join(place.Checks, ", "))
	}
	for _, found := range c.Findings {
		p.finding(found)
	}
	if len(c.Unasked) > 0 {
		p.line()
		p.labelled(2, "INTERRUPTED  ", plain, fmt.Sprintf("%s without an answer: %s",
			count(len(c.Unasked), "check"), ids(c.Unasked)))
	}
}

func (p *printout) rootCause(root RootCause) {
	p.line()
	p.labelled(2, "CAUSE  ", bold, root.Summary)
	for _, seen := range root.Evidence {
		p.block(9, plain, seen)
	}
	p.remedies(root.Remedies)
	explains := strings.Join(root.Explains, ", ")
	if root.told() {
		explains += "; the report holds what each of them saw"
	}
	p.labelled(9, "explains  ", plain, explains)
}

func (p *printout) remedies(remedies []diagnose.Remedy) {
	for _, remedy := range remedies {
		// A command that is broken over lines cannot be pasted.
		p.line(strings.Repeat(" ", 9), p.paint(faint, "remedy    "), p.paint(bold, oneLine(remedy.Command)))
		if remedy.Note != "" {
			p.block(19, plain, oneLine(remedy.Note))
		}
	}
}

func (p *printout) finding(c Check) {
	word := terminal.PadRight(strings.ToUpper(string(c.State)), 5)
	hang := 2 + terminal.Columns(word) + 2 + terminal.Columns(c.ID) + 2
	p.line()
	for i, line := range terminal.Wrap(oneLine(c.Title), p.style.Width-hang) {
		if i == 0 {
			p.line("  ", p.paint(bold+";"+stateInk[c.State], word), "  ", p.paint(bold, oneLine(c.ID)+"  "+line))
		} else {
			p.line(strings.Repeat(" ", hang), p.paint(bold, line))
		}
	}
	lines := terminal.Wrap(strings.TrimSpace(cmp.Or(c.Message, "it told no more")), p.style.Width-9)
	hidden := len(lines) - messageLines
	if hidden > 1 {
		lines = lines[:messageLines]
	}
	for _, line := range lines {
		p.line(strings.Repeat(" ", 9), line)
	}
	if hidden > 1 {
		p.line(strings.Repeat(" ", 9), p.paint(faint, fmt.Sprintf("… %d more lines in the report", hidden)))
	}
	for _, cause := range c.Causes {
		p.labelled(9, "cause   ", plain, cause.Summary)
	}
	p.labelled(9, "source  ", faint, c.Source)
	if c.broken() && len(c.Causes) == 0 && !check.OfPolicy(c.ID) {
		p.labelled(9, "see     ", plain, "loopcheck explain "+c.ID)
	}
}

// skips puts each missing need once, with how to get it, what it would let be
// asked, and why it is missing here as far as that was found.
func (p *printout) skips(r *Report) {
	groups := r.skipGroups()
	if len(groups) == 0 {
		return
	}
	p.line()
	p.line(p.paint(bold, "Skipped"))
	for _, g := range groups {
		p.line()
		p.labelled(2, "NEEDS  ", bold, g.Need)
		if g.How != "" {
			p.block(9, plain, oneLine(g.How))
		}
		p.labelled(9, "for       ", plain, ids(g.Checks))
		for _, cause := range g.Causes {
			p.skipCause(cause)
		}
		for _, place := range g.Unseen {
			p.labelled(9, "unseen    ", plain, place.What+": "+place.Why)
		}
	}
}

func (p *printout) skipCause(cause skipCause) {
	p.labelled(9, "cause     ", plain, cause.Summary)
	if !cause.Told {
		for _, seen := range cause.Evidence {
			p.block(19, plain, seen)
		}
	}
	p.remedies(cause.Remedies)
	if cause.Partly {
		p.labelled(9, "explains  ", plain, strings.Join(cause.Explains, ", "))
	}
}

func ids(checks []Check) string {
	var names []string
	for _, c := range checks {
		names = append(names, c.ID)
	}
	return strings.Join(names, ", ")
}
