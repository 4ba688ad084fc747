package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/lab/faults"
)

func TestPage(t *testing.T) {
	p := page{
		outcomes: []outcome{
			{Fault: faults.Fault{Name: "a", Family: "interface", Hurts: "x | y"}, finding: finding{Noticed: true, Named: true, Unexpected: []string{"other"}}, Mended: true},
			{Fault: faults.Fault{Name: "b", Family: "interface", NoRemedy: "none"}, finding: finding{Noticed: true}},
			{Fault: faults.Fault{Name: "c", Family: "routing"}, finding: finding{Inconclusive: true}},
			{Fault: faults.Fault{Name: "d", Family: "routing"}, Missing: "real root"},
			{Fault: faults.Fault{Name: "e", Family: "routing"}, Err: errors.New("no such <device>")},
		},
		cleans: []clean{
			{Variant: faults.Variant{Name: "plain"}},
			{Variant: faults.Variant{Name: "plain"}, Alarms: []string{"TCP-001 fail: late"}},
		},
	}
	p.sample([]outcome{{Fault: faults.Fault{Name: "a"}, finding: finding{Noticed: true, Named: true}}, {Fault: faults.Fault{Name: "b"}}})
	text := p.markdown()
	for _, want := range []string{
		"| interface | 2 | 2 of 2 (100 %) | 1 of 2 (50 %) | 1 of 1 (100 %) | 0 | 0 |\n",
		"| routing | 1 | 0 of 1 (0 %) | 0 of 1 (0 %) | 0 of 1 (0 %) | 1 | 2 |\n",
		"| **all** | 3 | 2 of 3 (66 %) | 1 of 3 (33 %) | 1 of 2 (50 %) | 1 | 2 |\n",
		`| a | x \| y | yes | yes | yes | other |` + "\n",
		"| b |  | yes | no | – |  |\n",
		"| c |  | inconclusive | no | no |  |\n",
		"| d |  | not asked: real root | | | |\n",
		"| e |  | not injected: no such &lt;device> | | | |\n",
		"Of 2 runs of all checks on stacks that are in order, 1 said",
		"| plain | lo and nothing else | 2 | TCP-001 fail: late |\n",
		"2 faults were asked again with all checks: it was otherwise for b (flagged; with everything not found).",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if p.sound() {
		t.Error("a fault was not injected and a stack in order was flagged, and it is called sound")
	}
}

func TestMistakesOfTheCaller(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"-n", "0", "sh"}, {"-run", "(", "sh"}, {"-no-such-flag"}, {"/no/such/program"}, {"true"}} {
		var stdout, stderr bytes.Buffer
		code, err := run(t.Context(), args, &stdout, &stderr)
		if code != 2 || err == nil && stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: %d, %v, %q", args, code, err, stdout.String())
		}
	}
}

func TestNothingHalfWritten(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "page.md")
	if err := (page{}).publish(path, nil); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := (page{}).publish(filepath.Join(folder, "missing", "page.md"), nil); err == nil {
		t.Error("a page was written to a folder that is not there")
	}
}
