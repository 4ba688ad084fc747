package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/loopcheck/loopcheck/lab/report"
)

// maxMessages is how many different messages of one check in one state are
// listed: those with port numbers in them differ every time.
const maxMessages = 3

// writeMarkdown prints what was run: a table with a row for each variant, and
// for each what needs a look. skipped are the variants that were not reached.
func writeMarkdown(w io.Writer, command []string, tallies []*tally, skipped []string, interrupted bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`\n\n", strings.ReplaceAll(printable(commandLine(command)), "`", "'"))
	if interrupted {
		b.WriteString("Interrupted: the table holds what was run until then.\n\n")
	}
	b.WriteString("| variant | runs | bad | exit codes | fail | warn | inconclusive | interrupted | skip | pass | median | max | peak RSS | left behind |\n")
	b.WriteString("|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, t := range tallies {
		row(&b, t)
	}
	for _, name := range skipped {
		fmt.Fprintf(&b, "| %s | 0 | | not reached | | | | | | | | | | |\n", name)
	}
	b.WriteString("\nThe states count results of checks over all runs. Peak RSS is the greatest ru_maxrss (getrusage(2)); as the kernel carries it over from the process that starts the command, it is never less than soak's own.\n")
	for _, t := range tallies {
		details(&b, t)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// commandLine joins arguments so that empty ones and those with spaces are seen.
func commandLine(command []string) string {
	words := slices.Clone(command)
	for i, word := range words {
		if word == "" || strings.ContainsFunc(word, unicode.IsSpace) {
			words[i] = "'" + word + "'"
		}
	}
	return strings.Join(words, " ")
}

func row(b *strings.Builder, t *tally) {
	if t.blocked != "" {
		fmt.Fprintf(b, "| %s | 0 | | cannot be run here: %s | | | | | | | | | | |\n", t.variant, cell(t.blocked))
		return
	}
	var exits []string
	for _, exit := range slices.Sorted(maps.Keys(t.exits)) {
		exits = append(exits, fmt.Sprintf("%s ×%d", exit, t.exits[exit]))
	}
	left := "nothing"
	if len(t.left) > 0 {
		left = fmt.Sprintf("%d things, see below", len(t.left))
	}
	fmt.Fprintf(b, "| %s | %d | %d | %s |", t.variant, t.runs, t.bad, strings.Join(exits, ", "))
	for _, state := range report.States {
		fmt.Fprintf(b, " %d |", t.states[state])
	}
	if t.runs == 0 {
		fmt.Fprintf(b, " | | | %s |\n", left)
		return
	}
	fmt.Fprintf(b, " %s | %s | %.1f MiB | %s |\n",
		seconds(median(t.durations)), seconds(slices.Max(t.durations)), float64(t.rssBytes)/(1<<20), left)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// details lists what the row of a variant only counts.
func details(b *strings.Builder, t *tally) {
	if len(t.findings)+len(t.problems)+len(t.left)+len(t.unseen) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s\n", t.variant)
	list(b, "Bad", t.problems)
	list(b, "Left behind", t.left)
	if len(t.findings) > 0 {
		b.WriteString("\n| check | state | results | message |\n|---|---|--:|---|\n")
		findings(b, t)
	}
	if len(t.unseen) > 0 {
		b.WriteString("\nNot looked at, so nothing is proven about it:\n\n")
		for _, line := range t.unseen {
			fmt.Fprintf(b, "- %s\n", cell(line))
		}
	}
}

func list(b *strings.Builder, title string, counts map[string]int) {
	if len(counts) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n\n", title)
	for _, text := range byCount(counts) {
		fmt.Fprintf(b, "- %s (×%d)\n", cell(text), counts[text])
	}
}

func findings(b *strings.Builder, t *tally) {
	type group struct{ id, state string }
	listed, omitted, results := map[group]int{}, map[group]int{}, map[group]int{}
	sorted := t.sortedFindings()
	for _, f := range sorted {
		g := group{f.id, f.state}
		if listed[g] == maxMessages {
			omitted[g]++
			results[g] += t.findings[f]
			continue
		}
		listed[g]++
	}
	written := map[group]int{}
	for _, f := range sorted {
		g := group{f.id, f.state}
		if written[g]++; written[g] > maxMessages {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s |\n", cell(f.id), cell(f.state), t.findings[f], cell(f.message))
		if written[g] == maxMessages && omitted[g] > 0 {
			fmt.Fprintf(b, "| %s | %s | %d | (%d more messages) |\n", cell(f.id), cell(f.state), results[g], omitted[g])
		}
	}
}

// maxCellRunes bounds a text in a table: matchers print whole objects.
const maxCellRunes = 240

// cell makes a text that came from the machine fit and safe to stand in a table.
func cell(text string) string {
	runes := []rune(printable(text))
	if len(runes) > maxCellRunes {
		runes = append(runes[:maxCellRunes-1], '…')
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "&", "&amp;").Replace(string(runes))
}

// printable puts a text on one line and replaces control characters.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, strings.TrimSpace(text))
}
