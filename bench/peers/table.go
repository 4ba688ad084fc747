package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

var columns = []string{"comparison", "placement", "bytes", "side", "p50", "p99", "rate", "ours / its, 95 % interval", "rounds", "goal"}

// numeric are the columns that read better on the right.
var numeric = []string{"bytes", "p50", "p99", "rate", "runs", "inconclusive", "variation"}

// rows are two for each comparison, of ours and of the peer; one where there is
// nothing to compare.
func (o *outcome) rows() [][]string {
	what := []string{o.Spec.Transport + " " + o.Spec.Op, string(o.Pair.Placement), fmt.Sprint(o.Spec.SizeBytes)}
	if o.Comparison == nil || o.Comparison.Kept == 0 {
		return [][]string{append(what, o.Peer, "", "", "", "", "", o.trouble())}
	}
	c := o.Comparison
	rounds := fmt.Sprintf("%d, %d discarded", c.Kept, c.Discarded)
	var goals []string
	for _, g := range o.Goals {
		goals = append(goals, g.String())
	}
	if trouble := o.trouble(); trouble != "" {
		goals = append(goals, trouble)
	}
	ours := append(slices.Clone(what), o.figures(1)...)
	theirs := append([]string{"", "", ""}, o.figures(0)...)
	return [][]string{
		append(ours, o.ratios(), rounds, strings.Join(goals, "; ")),
		append(theirs, "", "", ""),
	}
}

// figures are the name of a side and what it measured.
func (o *outcome) figures(side int) []string {
	c := o.Comparison
	cells := []string{c.Sides[side].Name, "", "", ""}
	if side == 1 && o.Peer != c.Sides[1].Name {
		cells[0] = "loopcheck"
	}
	if e, told := c.Estimate(bench.P50, side); told {
		cells[1] = microseconds(e.Median)
	}
	if e, told := c.Estimate(bench.P99, side); told {
		cells[2] = microseconds(e.Median)
	}
	if e, told := c.Estimate(bench.Bytes, side); told {
		cells[3] = fmt.Sprintf("%.0f MB/s", e.Median/1e6)
	} else if e, told := c.Estimate(bench.Rate, side); told {
		cells[3] = thousands(int64(e.Median)) + "/s"
	}
	return cells
}

// minRounds are the fewest that an interval can be told from: of fewer, all lie on
// one side of the median in more than 5 % of cases.
const minRounds = 6

// ratios are those that tell of the operation: latency of a round trip, rate of
// the others and of who tells no latency.
func (o *outcome) ratios() string {
	shown := []bench.Quantity{bench.P50, bench.P99}
	switch {
	case o.Spec.Op == bench.Stream:
		shown = []bench.Quantity{bench.Bytes}
	case o.Spec.Op != bench.RR || o.metric(bench.P50) == nil:
		shown = []bench.Quantity{bench.Rate}
	case strings.Contains(o.Note, "whole microseconds"):
		shown = append(shown, bench.Rate)
	}
	var cells []string
	for _, q := range shown {
		if m := o.metric(q); m != nil {
			r := m.Ratios[1]
			cell := fmt.Sprintf("%s %.3f", quantityNames[q], r.Value)
			if o.Comparison.Kept >= minRounds {
				cell += fmt.Sprintf(" (%.3f to %.3f)", r.Low, r.High)
			}
			cells = append(cells, cell)
		}
	}
	return strings.Join(cells, "; ")
}

func microseconds(ns float64) string { return fmt.Sprintf("%.1f µs", ns/1000) }

// thousands writes 15600 as 15,600.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// about is what has to be known beside the table, a line each.
func (r *report) about() []string {
	lines := []string{fmt.Sprintf("%s, %s; %d rounds.", r.Started.UTC().Format(time.DateOnly), r.Machine, r.Rounds)}
	notes := map[string]bool{}
	for _, o := range r.Outcomes {
		if note := fmt.Sprintf("%s: %s.", o.Peer, o.Note); o.Note != "" && o.Comparison != nil && !notes[note] {
			notes[note] = true
			lines = append(lines, note)
		}
	}
	return lines
}

// absent are what was skipped and why, each reason once.
func (r *report) absent() []string {
	var reasons []string
	for _, o := range r.Outcomes {
		if o.Skipped != "" && !slices.Contains(reasons, o.Skipped) {
			reasons = append(reasons, o.Skipped)
		}
	}
	return reasons
}

// measured are those of which there is something to show.
func (r *report) measured() []outcome {
	return slices.DeleteFunc(slices.Clone(r.Outcomes), func(o outcome) bool { return o.Skipped != "" })
}

// printText prints the table for a terminal.
func (r *report) printText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, o := range r.measured() {
		for _, row := range o.rows() {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(append(r.about(), r.absent()...), "\n"))
	return err
}

// printMarkdown prints the table as docs/measuring.md has it.
func (r *report) printMarkdown(w io.Writer) error {
	lines := []string{r.about()[0]}
	if absent := r.absent(); len(absent) > 0 {
		lines[0] += " Left out: " + strings.Join(absent, "; ") + "."
	}
	lines = append(append(lines, ""), markdownHead(columns)...)
	for _, o := range r.measured() {
		for _, row := range o.rows() {
			lines = append(lines, markdownRow(row))
		}
	}
	for i, note := range r.about()[1:] {
		if i == 0 {
			lines = append(lines, "")
		}
		lines = append(lines, "- "+note)
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// markdownHead are the first two lines of a table.
func markdownHead(columns []string) []string {
	line := "|"
	for _, c := range columns {
		if slices.Contains(numeric, c) {
			line += "--:|"
		} else {
			line += "---|"
		}
	}
	return []string{markdownRow(columns), line}
}

func markdownRow(cells []string) string {
	row := "|"
	for _, cell := range cells {
		row += " " + strings.ReplaceAll(cell, "|", "\\|") + " |"
	}
	return row
}
