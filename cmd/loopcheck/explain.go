package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/audit"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/harness/webcheck"
	"github.com/loopcheck/loopcheck/suites/containers"
)

func newExplain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "explain ID...",
		Short:   "Explain a check: what it asks, its source, usual causes, remedies",
		Example: "  loopcheck explain TCP-001",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("explain takes the ID of a check, such as TCP-001: see `loopcheck list` for every ID")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, c := range check.All() {
				ids = append(ids, c.ID+"\t"+c.Title)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var checks []check.Check
			for _, arg := range args {
				c, ok := lookup(strings.ToUpper(arg))
				if !ok {
					return usagef("unknown check %q: see `loopcheck list` for every ID", arg)
				}
				checks = append(checks, c)
			}
			for i, c := range checks {
				if i > 0 {
					if _, err := fmt.Fprintln(a.stdout); err != nil {
						return err
					}
				}
				if err := explain(a.stdout, c, min(columns(a.stdout), 100)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// lookup finds a check of the catalogue, or one of the audit's, of a web server's or
// of real containers.
func lookup(id string) (check.Check, bool) {
	for _, c := range slices.Concat(audit.Checks(), webcheck.Checks(), containers.EngineChecks()) {
		if c.ID == id {
			return c, true
		}
	}
	return check.Lookup(id)
}

func explain(w io.Writer, c check.Check, width int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", c.ID, c.Title)
	section := func(name string, paragraphs ...string) {
		if len(paragraphs) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s\n", name)
		for _, p := range paragraphs {
			b.WriteString(paragraph(p, width, "  "))
		}
		b.WriteString("\n")
	}
	section("Asks", c.Asks)
	section("Why it matters", c.Why)
	section("Source", c.Source)
	section("When it does not hold", graded(c.Grade))
	if n := needs(c); n != "-" {
		section("Needs", n)
	}
	section("Usual causes", bullets(c.Causes)...)
	section("Usual remedies", bullets(c.Remedies)...)
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func graded(g check.Grade) string {
	switch g {
	case check.GradeFail:
		return "fail: the stack breaks a standard or documented kernel behaviour."
	case check.GradeWarn:
		return "warn: it works, but differs from what Linux does."
	}
	return "warn: the stack does as it is told, but a setting is risky."
}

func bullets(items []string) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = "- " + item
	}
	return out
}

// paragraph fills lines of a width, all of them indented. Lines after the
// first of a "- " item stand below its text.
func paragraph(text string, width int, indent string) string {
	bullet := ""
	if item, found := strings.CutPrefix(text, "- "); found {
		bullet, text = "- ", item
	}
	var b strings.Builder
	for i, line := range terminal.Wrap(text, width-len(indent)-len(bullet)) {
		if i > 0 {
			bullet = strings.Repeat(" ", len(bullet))
		}
		b.WriteString(indent + bullet + line + "\n")
	}
	return b.String()
}
