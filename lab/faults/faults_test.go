package faults

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "add what is new to the ledger")

const ledger = "testdata/ledger.txt"

// A fault stays as hard as it was when it was written down.
func TestTheListOnlyGrows(t *testing.T) {
	text, err := os.ReadFile(ledger)
	if err != nil && !*update {
		t.Fatal(err)
	}
	var now []string
	for _, f := range All() {
		now = append(now, fmt.Sprintf("%s: flags %s; names %s", f.Name, strings.Join(f.Flagged, " "), strings.Join(f.Causes, " and ")))
	}
	for _, v := range Variants() {
		now = append(now, fmt.Sprintf("%s: stays clean", v.Name))
	}
	before := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	for _, line := range before {
		if !slices.Contains(now, line) {
			t.Errorf("was asked, and is not any more: %s", line)
		}
	}
	var added []string
	for _, line := range now {
		if !slices.Contains(before, line) {
			added = append(added, line)
		}
	}
	if *update && len(added) > 0 {
		grown := strings.Join(append(before, added...), "\n") + "\n"
		if err := os.WriteFile(ledger, []byte(grown), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range added {
		t.Errorf("is not in the ledger (run with -update): %s", line)
	}
}

func TestFaultsAreWhole(t *testing.T) {
	check := regexp.MustCompile(`^[A-Z]+-(\d{3}|\*)$`)
	seen := map[string]bool{}
	for _, f := range All() {
		if seen[f.Name] || f.Name == "" || f.Family == "" || f.Hurts == "" {
			t.Errorf("%q: a name of its own, a family and what it hurts are needed", f.Name)
		}
		seen[f.Name] = true
		if len(f.Damage) == 0 && f.Machine == (Machine{}) && !f.Process.Any() {
			t.Errorf("%s damages nothing", f.Name)
		}
		if len(f.Flagged) == 0 || len(f.Causes) == 0 {
			t.Errorf("%s: what has to be flagged, and which cause named?", f.Name)
		}
		for _, id := range f.Flagged {
			if !check.MatchString(id) {
				t.Errorf("%s: %q is no check", f.Name, id)
			}
		}
		// What round trips take is not decided beside other trials.
		if quiet := slices.ContainsFunc(f.Flagged, func(id string) bool { return strings.HasPrefix(id, "LAT-") }); quiet != f.Quiet {
			t.Errorf("%s: quiet is %v, and has to be %v", f.Name, f.Quiet, quiet)
		}
		for _, cause := range f.Causes {
			if _, err := regexp.Compile(cause); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
	}
	for _, v := range Variants() {
		if seen[v.Name] || v.Name == "" || v.About == "" {
			t.Errorf("%q: a name of its own and what it is about are needed", v.Name)
		}
		seen[v.Name] = true
	}
}
