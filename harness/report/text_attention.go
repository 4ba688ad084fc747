package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// messageLines bounds what a message takes on the terminal: a long diff is for
// the report file.
const messageLines = 20

// repeatedChecks is up to how many checks of one root cause are shown each for
// itself: of more, one says as much as all.
const repeatedChecks = 3

// attention puts the root causes and then every check that did not pass.
func (p *printout) attention(r *Report) {
	checks := r.Attention()
	if len(checks) == 0 {
		return
	}
	p.line()
	p.line(p.paint(bold, "Needs attention"))
	explained := map[string]bool{}
	for _, root := range r.RootCauses() {
		p.rootCause(root)
		if len(root.Explains) > repeatedChecks {
			for _, id := range root.Explains {
				explained[id] = true
			}
		}
	}
	var unasked []Check
	for _, c := range checks {
		if c.State == check.Interrupted {
			unasked = append(unasked, c)
			continue
		}
		if !explained[c.ID] {
			p.finding(c)
		}
	}
	if len(unasked) > 0 {
		p.line()
		p.labelled(2, "INTERRUPTED  ", plain, fmt.Sprintf("%s without an answer: %s",
			count(len(unasked), "check"), ids(unasked)))
	}
}

func (p *printout) rootCause(root RootCause) {
	p.line()
	p.labelled(2, "CAUSE  ", bold, root.Summary)
	for _, seen := range root.Evidence {
		p.block(9, plain, seen)
	}
	for _, remedy := range root.Remedies {
		// A command that is broken over lines cannot be pasted.
		p.line(strings.Repeat(" ", 9), p.paint(faint, "remedy    "), p.paint(bold, oneLine(remedy.Command)))
	}
	explains := strings.Join(root.Explains, ", ")
	if len(root.Explains) > repeatedChecks {
		explains += "; the report holds what each of them saw"
	}
	p.labelled(9, "explains  ", plain, explains)
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
	if c.broken() && len(c.Causes) == 0 {
		p.labelled(9, "see     ", plain, "loopcheck explain "+c.ID)
	}
}

// skips puts each missing need once, with how to get it and what it would let
// be asked.
func (p *printout) skips(checks []Check) {
	groups := skipGroups(checks)
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
		p.labelled(9, "for  ", plain, ids(g.Checks))
	}
}

// skipGroup is the checks that were skipped for want of one need.
type skipGroup struct {
	Need   string // its name; the message where the check named no need
	How    string
	Checks []Check
}

// skipGroups gathers the skipped checks by what they miss, in the order in
// which the first of each was run.
func skipGroups(checks []Check) []skipGroup {
	var groups []skipGroup
	for _, c := range checks {
		if c.State != check.Skip {
			continue
		}
		g := skipGroup{Need: cmp.Or(c.Message, "no reason given")}
		if c.Missing != nil {
			g.Need, g.How = c.Missing.Name, c.Missing.How
		}
		i := slices.IndexFunc(groups, func(other skipGroup) bool { return other.Need == g.Need && other.How == g.How })
		if i < 0 {
			i = len(groups)
			groups = append(groups, g)
		}
		groups[i].Checks = append(groups[i].Checks, c)
	}
	return groups
}

func ids(checks []Check) string {
	var names []string
	for _, c := range checks {
		names = append(names, c.ID)
	}
	return strings.Join(names, ", ")
}
