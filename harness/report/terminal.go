package report

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

const (
	defaultWidth = 80
	// leastWidth keeps the tables whole on a terminal that says it is narrower.
	leastWidth = 76
)

// Style is how the terminal wants its text.
type Style struct {
	// Colour allows ANSI colour sequences (ECMA-48 SGR).
	Colour bool
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
	if !p.style.Colour {
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
	for _, line := range wrap(text, p.style.Width-indent) {
		p.line(strings.Repeat(" ", indent), p.paint(colour, line))
	}
}

// labelled puts text behind a label; further lines stand below its start.
func (p *printout) labelled(indent int, label string, colour ink, text string) {
	hang := indent + len(label)
	for i, line := range wrap(oneLine(text), p.style.Width-hang) {
		if i == 0 {
			p.line(strings.Repeat(" ", indent), p.paint(faint, label), p.paint(colour, line))
		} else {
			p.line(strings.Repeat(" ", hang), p.paint(colour, line))
		}
	}
}

// columns is the number of terminal columns that a string takes: two for wide
// East Asian characters (Unicode Standard Annex 11), none for combining marks.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func padRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-columns(s))) }
func padLeft(s string, n int) string  { return strings.Repeat(" ", max(0, n-columns(s))) + s }

// shorten cuts a string to at most n columns and marks the cut.
func shorten(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	head, _ := split(s, max(n-1, 0))
	return head + "…"
}

// split divides a string after at most n columns, but never before its first
// character.
func split(s string, n int) (head, rest string) {
	used := 0
	for i, r := range s {
		used += runeColumns(r)
		if used > n && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// wrap breaks text at blanks into lines of at most n columns. A line that is
// indented keeps its indentation on the lines that it is broken into; a word
// that is longer than a line is broken where it must be.
func wrap(text string, n int) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, " ")
		body := strings.TrimLeft(line, " ")
		indent := min(len(line)-len(body), n/2)
		for _, part := range fill(body, n-indent) {
			lines = append(lines, strings.Repeat(" ", indent)+part)
		}
	}
	return lines
}

func fill(body string, n int) []string {
	if columns(body) <= n {
		return []string{body}
	}
	var lines []string
	line := ""
	for word := range strings.SplitSeq(body, " ") {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
		for columns(line) > n {
			head, rest := split(line, n)
			if rest == "" {
				break
			}
			lines, line = append(lines, head), rest
		}
	}
	return append(lines, line)
}
