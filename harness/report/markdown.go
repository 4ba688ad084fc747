package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

const (
	// summaryBytes bounds the Markdown: of a summary of more than 1 MiB GitHub
	// shows nothing, and other commands of the step may add to it.
	summaryBytes = 512 << 10
	// messageColumns is how much of one message the Markdown tells.
	messageColumns = 2000
)

// Markdown writes the summary of a run as GitHub Flavored Markdown, for
// GITHUB_STEP_SUMMARY, a merge request or a wiki: the verdict, what needs attention
// with cause and remedy, and the benchmarks. What the machine named is code or
// escaped, so that it can be neither markup nor a link.
func Markdown(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, markdownOf(HarmlessCopy(r))); err != nil {
			return fmt.Errorf("write the report as Markdown: %w", err)
		}
		return nil
	}
}

func markdownOf(r *Report) string {
	var out strings.Builder
	fmt.Fprintf(&out, "## %s loopcheck: %s\n\n", glyphs[r.Summary.Verdict], r.Summary.Verdict)
	fmt.Fprintf(&out, "%s\n\n", inlineText(r.Sentence()))
	fmt.Fprintf(&out, "%s · started %s\n\n", inlineCode(strings.Join(hostFacts(r.Host), " · ")), r.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	out.WriteString(countsTable(r.Summary))
	checks, left := r.Attention(), 0
	for _, c := range checks {
		section := attentionSection(c)
		if out.Len()+len(section) > summaryBytes {
			left++
			continue
		}
		out.WriteString(section)
	}
	if left > 0 {
		fmt.Fprintf(&out, "%s more had no room here.\n\n", count(left, "check"))
	}
	if table := benchmarksTable(r, summaryBytes-out.Len()); table != "" {
		fmt.Fprintf(&out, "### Benchmarks\n\n%s\n", table)
	}
	return out.String()
}

func countsTable(s Summary) string {
	var head, rule, cells strings.Builder
	for _, c := range countsOf(s) {
		fmt.Fprintf(&head, "| %s %s ", glyphs[c.State], c.State)
		rule.WriteString("|--:")
		fmt.Fprintf(&cells, "| %d ", c.N)
	}
	return fmt.Sprintf("%s| in all |\n%s|--:|\n%s| %d |\n\n", head.String(), rule.String(), cells.String(), s.Total)
}

func attentionSection(c Check) string {
	var out strings.Builder
	fmt.Fprintf(&out, "### %s %s %s\n\n", glyphs[c.State], inlineText(c.ID), inlineText(c.Title))
	if message := strings.TrimSpace(c.Message); message != "" {
		out.WriteString(codeBlock(terminal.Shorten(message, messageColumns)))
	}
	for _, cause := range c.Causes {
		fmt.Fprintf(&out, "Cause: %s\n\n", inlineText(cause.Summary))
		if len(cause.Evidence) > 0 {
			out.WriteString(codeBlock(terminal.Shorten(strings.Join(cause.Evidence, "\n"), messageColumns)))
		}
	}
	for _, remedy := range c.Remedies {
		fmt.Fprintf(&out, "Remedy: %s", inlineCode(remedy.Command))
		if remedy.Note != "" {
			fmt.Fprintf(&out, "<br>%s", inlineText(remedy.Note))
		}
		out.WriteString("\n\n")
	}
	fmt.Fprintf(&out, "Source: %s\n\n", inlineText(c.Source))
	return out.String()
}

func benchmarksTable(r *Report, room int) string {
	var out strings.Builder
	for _, b := range r.Benchmarks {
		remark := ""
		switch {
		case b.Skipped != "":
			remark = "skipped: " + b.Skipped
		case b.Inconclusive != "":
			remark = string(check.Inconclusive) + ": " + b.Inconclusive
		}
		cell := func(key string) string {
			if ns, given := b.Percentiles[key]; given {
				return humanNS(ns)
			}
			return "–"
		}
		rate := "–"
		if b.Count > 0 {
			rate = humanRate(b.RatePerS)
		}
		row := fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", inlineText(b.Name),
			cell("p50_ns"), humanInterval(b.CI95.LowNS, b.CI95.HighNS), cell("p99_ns"), rate, inlineText(remark))
		if out.Len()+len(row) > room {
			break
		}
		out.WriteString(row)
	}
	if out.Len() == 0 {
		return ""
	}
	return "| benchmark | median | 95 % interval | p99 | rate | |\n|---|--:|--:|--:|--:|---|\n" + out.String()
}

var (
	// markup is every character that may begin markup inside of a line: HTML,
	// emphasis, code, links, mentions, references and formulas.
	markup = regexp.MustCompile("[&<>\"'\\\\`*_\\[\\]#|~@!$]|://|(?i:www\\.)")
	fences = regexp.MustCompile("`+")
)

// inlineText is text that shows as it is, on one line.
func inlineText(s string) string {
	return markup.ReplaceAllStringFunc(terminal.Shorten(oneLine(s), messageColumns), func(found string) string {
		// Of what is longer than a character any one written as a reference breaks it.
		last := len(found) - 1
		return fmt.Sprintf("%s&#%d;", found[:last], found[last])
	})
}

// inlineCode is a code span. Its fence is longer than any in it.
func inlineCode(s string) string {
	s = terminal.Shorten(oneLine(s), messageColumns)
	if strings.TrimSpace(s) == "" {
		return ""
	}
	fence := strings.Repeat("`", longestFence(s)+1)
	return fence + " " + s + " " + fence
}

// codeBlock is a fenced block of code with an empty line after it.
func codeBlock(s string) string {
	fence := strings.Repeat("`", max(3, longestFence(s)+1))
	return fence + "text\n" + s + "\n" + fence + "\n\n"
}

func longestFence(s string) int {
	longest := 0
	for _, run := range fences.FindAllString(s, -1) {
		longest = max(longest, len(run))
	}
	return longest
}
