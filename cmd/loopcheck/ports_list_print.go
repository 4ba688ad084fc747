package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// listColumn is a column of the table of listeners.
type listColumn struct {
	head  string
	right bool // numbers stand to the right
	cell  func(listeners.Listener) string
}

// listColumns stand in the order of what matters: where a terminal is too
// narrow for all, the last go to a line of their own below.
var listColumns = []listColumn{
	{"PROTO", false, func(l listeners.Listener) string { return l.Protocol }},
	{"ADDRESS", false, listeners.Listener.Bound},
	{"PORT", true, func(l listeners.Listener) string { return strconv.Itoa(int(l.Port)) }},
	{"SCOPE", false, listeners.Listener.Reach},
	{"PROCESS", false, listedProcess},
	{"PID", true, listedPID},
	{"USER", false, func(l listeners.Listener) string { return l.User }},
	{"BACKLOG", true, listedBacklog},
	{"UNIT", false, func(l listeners.Listener) string { return l.Unit }},
	{"CONTAINER", false, func(l listeners.Listener) string { return l.Container }},
}

const (
	// leastListColumns say which listener a line is of, whatever the width.
	leastListColumns = 3
	listGap          = 2
	nothingListed    = "-"
)

func listedProcess(l listeners.Listener) string {
	if len(l.Owners) == 0 && l.Unowned == listeners.NotAllowed {
		return "?"
	}
	return l.Processes()
}

func listedPID(l listeners.Listener) string {
	switch n := len(l.Owners); n {
	case 0:
		return ""
	case 1:
		return strconv.Itoa(l.PID)
	default:
		return fmt.Sprintf("%d +%d", l.PID, n-1)
	}
}

func listedBacklog(l listeners.Listener) string {
	if l.Backlog == nil {
		return ""
	}
	return fmt.Sprintf("%d/%d", l.Backlog.Waiting, l.Backlog.Limit)
}

// printListenerTable prints a line a listener, and on a terminal of a width
// one more for what does not fit; 0 is no limit.
func printListenerTable(w io.Writer, all []listeners.Listener, width int) error {
	rows := make([][]string, len(all))
	widths := make([]int, len(listColumns))
	filled := make([]bool, len(listColumns))
	for i, c := range listColumns {
		widths[i] = len(c.head)
		for j, l := range all {
			text := inOneLine(c.cell(l))
			filled[i] = filled[i] || text != ""
			widths[i] = max(widths[i], terminal.Columns(text))
			rows[j] = append(rows[j], text)
		}
	}
	inTable, below := fitListColumns(widths, filled, width)

	var b strings.Builder
	line := func(cell func(column int) string) {
		text := ""
		for _, i := range inTable {
			pad := terminal.PadRight
			if listColumns[i].right {
				pad = terminal.PadLeft
			}
			text += pad(cell(i), widths[i]) + strings.Repeat(" ", listGap)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	line(func(i int) string { return listColumns[i].head })
	for _, row := range rows {
		line(func(i int) string {
			if row[i] == "" {
				return nothingListed
			}
			return row[i]
		})
		var rest []string
		for _, i := range below {
			if row[i] != "" {
				rest = append(rest, strings.ToLower(listColumns[i].head)+" "+row[i])
			}
		}
		b.WriteString(indentedParts(rest, widths[0]+listGap, width))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// indentedParts joins parts into lines of a width, and breaks within one only
// where it is longer than a line.
func indentedParts(parts []string, indent, width int) string {
	var lines []string
	for _, part := range parts {
		if n := len(lines); n > 0 && indent+terminal.Columns(lines[n-1]+", "+part) < width {
			lines[n-1] += ", " + part
			continue
		}
		lines = append(lines, part)
	}
	var b strings.Builder
	for i, line := range lines {
		if i < len(lines)-1 {
			line += ","
		}
		for _, part := range terminal.Wrap(strings.Repeat(" ", indent)+line, width) {
			b.WriteString(part + "\n")
		}
	}
	return b.String()
}

// fitListColumns parts the columns into those that fit a width and the rest. A
// unit or container that no listener has is in neither.
func fitListColumns(widths []int, filled []bool, width int) (inTable, below []int) {
	used := -listGap
	for i := range widths {
		if !filled[i] && (listColumns[i].head == "UNIT" || listColumns[i].head == "CONTAINER") {
			continue
		}
		used += listGap + widths[i]
		if len(below) == 0 && (width == 0 || used <= width || i < leastListColumns) {
			inTable = append(inTable, i)
		} else {
			below = append(below, i)
		}
	}
	return inTable, below
}

// inOneLine makes text of unknown origin fit for a line on a terminal.
func inOneLine(s string) string { return strings.ReplaceAll(terminal.Harmless(s), "\n", `\n`) }
