package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/containers"
)

// The page about containers has a line for every check of theirs, those of a real
// engine too, which docs/checks.md does not have.
func TestTheContainersPageNamesEveryCheck(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(house, "docs", "containers.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := containers.EngineChecks()
	for _, c := range check.All() {
		if c.Suite == containers.Name {
			all = append(all, c)
		}
	}
	for _, c := range all {
		if !strings.Contains(string(page), "\n| "+c.ID+" | ") {
			t.Errorf("docs/containers.md has no line for %s: %s", c.ID, c.Title)
		}
	}
}
