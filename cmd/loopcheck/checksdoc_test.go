package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
)

// docs/checks.md is what explain prints, for every check.
func TestChecksAreDocumented(t *testing.T) {
	var want bytes.Buffer
	documentChecks(&want)
	path := filepath.Join(house, "docs", "checks.md")
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/checks.md is stale: run `make docs`")
	}
}

func documentChecks(w *bytes.Buffer) {
	fmt.Fprint(w, "# The checks\n\nMade by `make docs`; do not edit. `loopcheck explain ID` prints the same on a terminal, `loopcheck list` the table.\n\n"+
		"What a check comes to when it does not hold: **fail** where the stack breaks a standard or documented kernel behaviour; "+
		"**warn** where it works and differs from what Linux does (grade warn), or a setting is risky (grade advice).\n")
	for _, suite := range check.Suites() {
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n| ID | what a healthy stack does | grade | needs |\n|---|---|---|---|\n", suite.Name, suite.Title)
		for _, c := range check.All() {
			if c.Suite == suite.Name {
				slow := ""
				if c.Slow {
					slow = " (with --full)"
				}
				fmt.Fprintf(w, "| [%s](#%s) | %s%s | %s | %s |\n", c.ID, strings.ToLower(c.ID), cell(c.Title), slow, c.Grade, needs(c))
			}
		}
	}
	for _, suite := range check.Suites() {
		for _, c := range check.All() {
			if c.Suite == suite.Name {
				document(w, c)
			}
		}
	}
}

func document(w *bytes.Buffer, c check.Check) {
	fmt.Fprintf(w, "\n### %s\n\n%s.\n\n", c.ID, upper(c.Title))
	for _, section := range []struct{ name, text string }{
		{"Asks", c.Asks}, {"Why it matters", c.Why}, {"Source", c.Source}, {"Kernels", kernels(c.Kernels)},
	} {
		if section.text != "" {
			fmt.Fprintf(w, "**%s.** %s\n\n", section.name, section.text)
		}
	}
	for _, list := range []struct {
		name  string
		items []string
	}{{"Usual causes", c.Causes}, {"Usual remedies", c.Remedies}} {
		if len(list.items) > 0 {
			fmt.Fprintf(w, "**%s**\n\n%s\n\n", list.name, strings.Join(bullets(list.items), "\n"))
		}
	}
	w.Truncate(w.Len() - 1)
}

func kernels(k check.Kernels) string {
	switch {
	case k.First != "" && k.Last != "":
		return "Linux " + k.First + " to " + k.Last + "."
	case k.First != "":
		return "Linux " + k.First + " and later."
	case k.Last != "":
		return "Linux up to " + k.Last + "."
	}
	return ""
}

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// cell keeps a text from ending its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// Everybody who runs a check is told what it asks, why, and what to do.
func TestEveryCheckIsExplained(t *testing.T) {
	for _, c := range check.All() {
		if len(c.Causes) == 0 || len(c.Remedies) == 0 || len(c.Why) < 60 || len(c.Asks) < 40 || c.Source == "" {
			t.Errorf("%s is not explained well enough", c.ID)
		}
	}
}
