package report

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
)

// A report of version 1 from before there were listeners, idle states of processors
// and conditions of benchmarks still opens, in every format.
func TestAnOlderReportOpens(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("testdata", "before-listeners.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{`"listeners"`, `"idle"`, `"conditions"`} {
		if bytes.Contains(document, []byte(absent)) {
			t.Errorf("it has %s, so it is not old", absent)
		}
	}
	for name, reader := range map[string]func([]byte) (*Report, error){"Read": parse, "ReadBrief": parseBrief} {
		r, err := reader(document)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(r.Checks) != 23 || r.Summary.Passed != 23 || len(r.Benchmarks) != 2 || r.Benchmarks[0].Percentiles["p50_ns"] <= 0 {
			t.Errorf("%s: %d checks, %d benchmarks, %+v", name, len(r.Checks), len(r.Benchmarks), r.Summary)
		}
		for _, f := range Formats {
			if out := rendered(t, f.Write(r)); len(out) == 0 && f.Name != "github" {
				t.Errorf("%s: %s of it is empty", name, f.Name)
			}
		}
	}
}

func TestReadBriefReadsWhatTellsRunsApart(t *testing.T) {
	document := rendered(t, JSON(fixture(t)))
	whole, err := Read(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadBrief(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if got.Sentence() != whole.Sentence() || got.Machine() != whole.Machine() || !got.Started.Equal(whole.Started) || got.Summary != whole.Summary {
		t.Errorf("%s on %v is not %s on %v", got.Sentence(), got.Machine(), whole.Sentence(), whole.Machine())
	}
	for i, c := range whole.Checks {
		if g := got.Checks[i]; g.ID != c.ID || g.State != c.State || g.Suite != c.Suite || g.Title != c.Title || g.Message != c.Message {
			t.Errorf("%s: %+v", c.ID, g)
		}
	}
	for i, b := range whole.Benchmarks {
		g := got.Benchmarks[i]
		if g.Name != b.Name || g.Count != b.Count || g.Inconclusive != b.Inconclusive || g.Skipped != b.Skipped || !maps.Equal(g.Percentiles, b.Percentiles) {
			t.Errorf("%s: %+v", b.Name, g)
		}
	}
}

// FuzzReadBrief holds that it refuses what Read refuses but for what it does not
// look at, never takes what Read takes for another report, and never panics.
func FuzzReadBrief(f *testing.F) {
	f.Add(rendered(f, JSON(healthy(f))))
	f.Add([]byte(`{"schema_version": "9", "checks": 7}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		brief, err := ReadBrief(bytes.NewReader(document))
		if err != nil && bytes.ContainsRune([]byte(err.Error()), '\n') {
			t.Errorf("an error of more than one line: %q", err)
		}
		whole, wholeErr := Read(bytes.NewReader(document))
		if wholeErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("refuses what Read takes: %v", err)
		}
		if diff := cmp.Diff(whole.Summary, brief.Summary); diff != "" || len(brief.Checks) != len(whole.Checks) || len(brief.Benchmarks) != len(whole.Benchmarks) {
			t.Errorf("another report: %s", diff)
		}
	})
}

// A full run, with 500 checks and 50 benchmarks, stays below 3 MB.
func TestAFullReportIsNotLarge(t *testing.T) {
	template := fixture(t)
	r := *template
	r.Checks, r.Benchmarks = nil, nil
	for i := range 500 {
		c := template.Checks[i%len(template.Checks)]
		c.ID = fmt.Sprintf("TCP-%03d", i+1)
		r.Checks = append(r.Checks, c)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		r.Benchmarks = append(r.Benchmarks, largeBenchmark(t, random, i))
	}
	r.Summary = Summarize(r.Checks)
	document := rendered(t, JSON(&r))
	reporttest.Validate(t, document)
	t.Logf("%.2f MB", float64(len(document))/1e6)
	if len(document) >= 3_000_000 {
		t.Errorf("%d bytes", len(document))
	}
}

// largeBenchmark has 30 restarts, and a distribution as wide as one gets.
func largeBenchmark(t *testing.T, random *rand.Rand, i int) bench.Result {
	t.Helper()
	b := fixture(t).Benchmarks[0]
	b.SizeBytes = i + 1
	b.Name = b.Spec.Name()
	histogram := hdrhistogram.New(1, int64(10*time.Second), 3)
	for range 20_000 {
		if err := histogram.RecordValue(int64(10_000 * (1 + random.ExpFloat64()*random.ExpFloat64()*5))); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := histogram.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	b.Histogram = string(encoded)
	first := b.Restarts[0]
	b.Restarts = nil
	for round := range 30 {
		first.Round = round
		first.P50NS, first.P90NS, first.P99NS = 15_000*random.Float64(), 20_000*random.Float64(), 30_000*random.Float64()
		b.Restarts = append(b.Restarts, first)
	}
	return b
}
