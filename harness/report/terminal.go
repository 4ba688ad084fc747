package report

import (
	"strings"

	"github.com/loopcheck/loopcheck/harness/terminal"
)

const (
	defaultWidth = 80
	// leastWidth keeps the tables whole on a terminal that says it is narrower.
	leastWidth = 76
)

// Style is how the terminal wants its text.
type Style struct {
	// Color allows ANSI colour sequences (ECMA-48 SGR).
	Color bool
	// Width is the number of columns; 0 stands for 80. Below 76 lines are left
	// for the terminal to break.
	Width int
}

// printout gathers lines for a terminal. What is put on it must be harmless.
type printout struct {
	strings.Builder
	style Style
}

func newPrintout(style Style) *printout {
	if style.Width == 0 {
		style.Width = defaultWidth
	}
	style.Width = max(style.Width, leastWidth)
	return &printout{style: style}
}

func (p *printout) paint(colour ink, s string) string {
	if !p.style.Color {
		return s
	}
	return colour.on(s)
}

// line puts one line, without blanks at its end.
func (p *printout) line(parts ...string) {
	p.WriteString(strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

// block puts text of one or more lines, wrapped and indented.
func (p *printout) block(indent int, colour ink, text string) {
	for _, line := range terminal.Wrap(text, p.style.Width-indent) {
		p.line(strings.Repeat(" ", indent), p.paint(colour, line))
	}
}

// labelled puts text behind a label; further lines stand below its start.
func (p *printout) labelled(indent int, label string, colour ink, text string) {
	hang := indent + len(label)
	for i, line := range terminal.Wrap(oneLine(text), p.style.Width-hang) {
		if i == 0 {
			p.line(strings.Repeat(" ", indent), p.paint(faint, label), p.paint(colour, line))
		} else {
			p.line(strings.Repeat(" ", hang), p.paint(colour, line))
		}
	}
}
