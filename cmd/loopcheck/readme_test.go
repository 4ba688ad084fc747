package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/harness/run"
)

const (
	house       = "../.."
	sampleBegin = "<!-- sample: made by `make sample` -->\n```text\n"
	sampleEnd   = "```\n<!-- end of sample -->\n"
)

func sample(t *testing.T) (*report.Report, []byte) {
	t.Helper()
	document, err := os.ReadFile(filepath.Join(house, "reports", "sample", folder.JSON))
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Read(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	return r, document
}

// The README's sample output is what the committed sample report prints as.
func TestReadmeShowsTheSample(t *testing.T) {
	r, _ := sample(t)
	var printed bytes.Buffer
	printed.WriteString("$ make run\n")
	if err := report.Text(r, report.Style{Width: 80})(&printed); err != nil {
		t.Fatal(err)
	}
	printed.WriteString("Report: " + filepath.Join("reports", folder.Latest, folder.HTML) + "\n")

	path := filepath.Join(house, "README.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), sampleBegin)
	shown, after, closed := strings.Cut(rest, sampleEnd)
	if !found || !closed {
		t.Fatalf("the README has no sample between %q and %q", sampleBegin, sampleEnd)
	}
	if shown == printed.String() {
		return
	}
	if !*update {
		t.Fatalf("the README's sample is stale: run `make sample`\nshown:\n%s\nprinted:\n%s", shown, printed.String())
	}
	if err := os.WriteFile(path, []byte(before+sampleBegin+printed.String()+sampleEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The sample's files are of one run, and as this loopcheck would write them.
func TestSampleIsOfThisLoopcheck(t *testing.T) {
	r, document := sample(t)
	reporttest.Validate(t, document)
	var got, want []string
	for _, c := range r.Checks {
		got = append(got, c.ID+" "+c.Title)
	}
	quick, err := run.Selection{}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range quick {
		want = append(want, c.ID+" "+c.Title)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the sample is of other checks: run `make sample`\ngot  %q\nwant %q", got, want)
	}
	for name, write := range map[string]func() ([]byte, error){
		folder.HTML:  func() ([]byte, error) { var b bytes.Buffer; err := report.HTML(r)(&b); return b.Bytes(), err },
		folder.JUnit: func() ([]byte, error) { var b bytes.Buffer; err := report.JUnit(r)(&b); return b.Bytes(), err },
	} {
		want, err := write()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(house, "reports", "sample", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("reports/sample/%s is stale: run `make sample`", name)
		}
	}
}
