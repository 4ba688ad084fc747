package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
)

// shownBench is a command on a page with what it prints.
var shownBench = regexp.MustCompile("(?s)```text\n\\$ (loopcheck bench[^\n]*)\n(.*?)```\n")

// benchSamples are the committed runs, by the command that made them.
func benchSamples(t *testing.T) map[string]*report.BenchRun {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(house, "reports", "sample", "bench*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("samples %v, %v", files, err)
	}
	samples := map[string]*report.BenchRun{}
	for _, path := range files {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := reporttest.CheckBench(document); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var run report.BenchRun
		if err := json.Unmarshal(document, &run); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		samples[strings.Join(run.Command, " ")] = &run
	}
	return samples
}

// What the page shows of bench is how the committed runs print, and for other
// commands, which are mistakes, what they say.
func TestThePageShowsWhatBenchPrints(t *testing.T) {
	path := filepath.Join(house, "docs", "bench.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	samples := benchSamples(t)
	for _, one := range shownBench.FindAllStringSubmatch(page, -1) {
		var printed []byte
		if run := samples[one[1]]; run != nil {
			delete(samples, one[1])
			var text bytes.Buffer
			if err := report.BenchText(run, report.Style{Width: 80})(&text); err != nil {
				t.Fatal(err)
			}
			printed = text.Bytes()
		} else {
			cmd := loopcheck(t, strings.Fields(one[1])[1:]...)
			printed, _ = cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != exitUsage {
				t.Errorf("%s: neither a sample nor a mistake: it exits with %d", one[1], code)
			}
		}
		if string(printed) == one[2] {
			continue
		}
		if !*update {
			t.Errorf("%s is stale: %s\nshown:\n%s\nprinted:\n%s", path, one[1], one[2], printed)
		}
		page = strings.Replace(page, one[0], "```text\n$ "+one[1]+"\n"+string(printed)+"```\n", 1)
	}
	for command := range samples {
		t.Errorf("the page does not show the sample of %s", command)
	}
	if *update && page != string(content) {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
