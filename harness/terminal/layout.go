// Package terminal lays text out in the columns of a terminal, and keeps what
// the machine named from doing anything there but being read.
package terminal

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Columns is the number of terminal columns that a string takes: two for wide
// East Asian characters (Unicode Standard Annex 11), none for combining marks.
func Columns(s string) int {
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

// PadRight fills a string with blanks on its right to n columns.
func PadRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-Columns(s))) }

// PadLeft fills a string with blanks on its left to n columns.
func PadLeft(s string, n int) string { return strings.Repeat(" ", max(0, n-Columns(s))) + s }

// Shorten cuts a string to at most n columns and marks the cut.
func Shorten(s string, n int) string {
	if Columns(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	head, _ := split(s, n-1)
	if Columns(head) > n-1 {
		head = "" // the first character alone is wider
	}
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

// Wrap breaks text at blanks into lines of at most n columns. A line that is
// indented keeps its indentation on the lines that it is broken into; a word
// that is longer than a line is broken where it must be.
func Wrap(text string, n int) []string {
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
	if Columns(body) <= n {
		return []string{body}
	}
	var lines []string
	line := ""
	for word := range strings.SplitSeq(body, " ") {
		switch {
		case line == "":
			line = word
		case Columns(line)+1+Columns(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
		for Columns(line) > n {
			head, rest := split(line, n)
			if rest == "" {
				break
			}
			lines, line = append(lines, head), rest
		}
	}
	return append(lines, line)
}
