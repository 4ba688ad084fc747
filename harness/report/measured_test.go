package report

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/bench/export"
)

// A document is told by its keys, and makes the page that what was written makes.
func TestDocumentsAreToldApart(t *testing.T) {
	run, l := benchRun(t, benchtest.Results()), ladders()
	run.Host.Hostname = "web-1" // JSON has no form for bytes that are no UTF-8
	for name, c := range map[string]struct {
		document, want []byte
		page           func(*Document) func(io.Writer) error
	}{
		"bench":  {rendered(t, export.JSON(run.Export())), rendered(t, BenchHTML(run)), func(d *Document) func(io.Writer) error { return BenchHTML(d.Bench) }},
		"ladder": {rendered(t, LaddersJSON(l)), rendered(t, LaddersHTML(l)), func(d *Document) func(io.Writer) error { return LaddersHTML(d.Ladders) }},
		"report": {rendered(t, JSON(healthy(t))), rendered(t, HTML(healthy(t))), func(d *Document) func(io.Writer) error { return HTML(d.Report) }},
	} {
		d, err := ReadDocument(bytes.NewReader(c.document))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(string(c.want), string(rendered(t, c.page(d)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDocumentsOfAnotherVersion(t *testing.T) {
	for _, document := range []string{`{"schema_version": "7", "ladders": []}`, `{"schema_version": "7", "benchmarks": []}`, `{"ladders": []}`, `{}`} {
		if _, err := ReadDocument(strings.NewReader(document)); !errors.As(err, new(*VersionError)) {
			t.Errorf("%s: %v", document, err)
		}
	}
}

// Whatever a document holds, it makes a page or is refused in one line.
func FuzzReadDocument(f *testing.F) {
	f.Add(rendered(f, export.JSON(benchRun(f, benchtest.Results()[:3]).Export())))
	f.Add(rendered(f, LaddersJSON(ladders())))
	f.Fuzz(func(t *testing.T, document []byte) {
		d, err := ReadDocument(bytes.NewReader(document))
		switch {
		case err != nil:
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of more than one line: %q", err)
			}
		case d.Bench != nil:
			rendered(t, BenchHTML(d.Bench))
		case d.Ladders != nil:
			rendered(t, LaddersHTML(d.Ladders))
		}
	})
}
