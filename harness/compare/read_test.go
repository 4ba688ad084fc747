package compare

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/export"
	"github.com/loopcheck/loopcheck/harness/report"
)

// write puts a file into a folder of the test's own.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchmarksByThemselvesAreRead(t *testing.T) {
	base, _ := pair()
	path := write(t, "bench.json", string(rendered(t, export.JSON(report.Bench(base).Export()))))
	r, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Checks != nil || r.Listeners != nil || len(r.Benchmarks) != len(base.Benchmarks) || r.Host.Kernel != base.Host.Kernel {
		t.Errorf("read %d checks, %d benchmarks of kernel %s", len(r.Checks), len(r.Benchmarks), r.Host.Kernel)
	}
	if c := Reports(base, r, rules); len(c.Benchmarks) != 4 || c.ChecksCompared != 0 {
		t.Errorf("%d benchmarks and %d checks are compared, want 4 and none", len(c.Benchmarks), c.ChecksCompared)
	}
}

func TestARunIsReadByItsFolder(t *testing.T) {
	path := write(t, "report.json", `{"schema_version": "1", "summary": {"verdict": "pass"}, "checks": [], "benchmarks": []}`)
	if r, err := Load(filepath.Dir(path)); err != nil || r.Checks == nil {
		t.Errorf("read %+v, %v", r, err)
	}
}

// What cannot be read is said in one line that names the file.
func TestWhatIsNoReport(t *testing.T) {
	for text, want := range map[string]string{
		"":   "it is empty",
		"{":  "line 1, column 1",
		"[]": "not a report",
		`{"schema_version": "9", "benchmarks": []}`:               `unknown schema_version "9"`,
		`{"schema_version": "1", "benchmarks": 5}`:                "benchmarks: a JSON number does not fit",
		`{"schema_version": "1", "benchmarks": [{"restarts":3}]}`: "restarts",
		`{"schema_version": "1"}`:                                 "verdict",
		`{"schema_version": "1", "ladders": []}`:                  "it holds ladders, and no benchmarks",
	} {
		path := write(t, "report.json", text)
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error is %v, want one line that names the file and %q", text, err, want)
		}
	}
}

// Whatever is read is compared and written without a stop.
func FuzzReports(f *testing.F) {
	base, after := pair()
	for _, r := range []*report.Report{base, after} {
		r.Benchmarks = []bench.Result{result(bench.Spec{}, 14_000, 3)} // the judge takes its time for more
		f.Add(rendered(f, report.JSON(r)))
	}
	f.Add([]byte(`{"schema_version": "1", "benchmarks": [{"name": "tcp/rr/raw/same-core/64B", "restarts": [{"p50_ns": 1e308, "count": -5, "duration_ns": 1}]}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		d, err := report.ReadDocument(bytes.NewReader(document))
		var r *report.Report
		if err == nil {
			r, err = d.Measured()
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
			return
		}
		for _, c := range []*Comparison{Reports(base, r, rules), Reports(r, base, rules)} {
			if !json.Valid(rendered(t, JSON(c))) {
				t.Error("what is written is no JSON")
			}
			if text := rendered(t, Text(c, report.Style{})); bytes.ContainsAny(text, "\x1b\r\x07") {
				t.Errorf("what is printed does something: %q", text)
			}
			if page := rendered(t, HTML(c)); bytes.ContainsAny(page, "\x1b\x00\x07\u202e") {
				t.Errorf("the page does something: %q", page)
			}
		}
	})
}
