package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run is what the formats are made of: one result of each kind.
func run() Run {
	return Run{
		Tool:    map[string]string{"version": "0.1.0", "commit": "0123456789ab", "go": "go1.26.0"},
		Started: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Duration: 4900 * time.Millisecond,
		Command: []string{"loopcheck", "bench"},
		Host:    map[string]any{"hostname": "example"}, Noise: map[string]any{"steal": 0.01},
		Dropped:    []string{"pipe: op crr: raw over pipe has rr, stream, burst"},
		Benchmarks: benchtest.Results(),
		Machine:    Machine{GOOS: "linux", GOARCH: "amd64", CPU: "Example(R) \"9000\"\n\\ @ 3.0 GHz", Kernel: "6.18.44", Version: "0.1.0"},
	}
}

var formats = map[string]func(Run) func(io.Writer) error{
	"bench.json": JSON, "bench.csv": CSV, "bench.txt": Benchfmt, "bench.prom": OpenMetrics,
}

func written(t testing.TB, format func(io.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := format(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestGolden(t *testing.T) {
	for name, format := range formats {
		got := written(t, format(run()))
		benchtest.Golden(t, *update, filepath.Join("testdata", name), got)
	}
}

var errFull = errors.New("no space left")

// full takes some bytes and then none.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	if f.room -= n; n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestAFullDiskIsTold(t *testing.T) {
	for name, format := range formats {
		size := len(written(t, format(run())))
		for _, room := range []int{0, size / 2, size - 1} {
			if err := format(run())(&full{room}); !errors.Is(err, errFull) {
				t.Errorf("%s: after %d of %d bytes: %v", name, room, size, err)
			}
		}
	}
}

func TestNothingMeasuredIsStillADocument(t *testing.T) {
	empty := Run{}
	if got := string(written(t, CSV(empty))); got != strings.Join(CSVHeader, ",")+"\r\n" {
		t.Errorf("CSV: %q", got)
	}
	var document map[string]any
	if err := json.Unmarshal(written(t, JSON(empty)), &document); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"benchmarks", "command", "dropped"} {
		if list, ok := document[key].([]any); !ok || len(list) > 0 {
			t.Errorf("%s: %v, want an empty list", key, document[key])
		}
	}
	parseOpenMetrics(t, written(t, OpenMetrics(empty)))
}

func TestJSONGivesResultsBack(t *testing.T) {
	want := run().Benchmarks
	want[0].Percentiles["p75_ns"] = math.NaN() // has no form in JSON
	r := run()
	r.Benchmarks = want
	var got Run
	if err := json.Unmarshal(written(t, JSON(r)), &got); err != nil {
		t.Fatal(err)
	}
	delete(want[0].Percentiles, "p75_ns")
	if diff := cmp.Diff(want, got.Benchmarks, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONLeavesTheResultsAlone(t *testing.T) {
	r := run()
	_ = written(t, JSON(r))
	if diff := cmp.Diff(run().Benchmarks, r.Benchmarks); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

func TestCSVHasARowARestart(t *testing.T) {
	r := run()
	r.Benchmarks[0].Restarts[0].Taint = []string{`a "reason", with all` + "\n", "gc"}
	rows, err := csv.NewReader(bytes.NewReader(written(t, CSV(r)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	restarts := 0
	for _, one := range r.Benchmarks {
		restarts += len(one.Restarts)
	}
	if len(rows) != 1+restarts {
		t.Errorf("%d rows of %d restarts", len(rows), restarts)
	}
	column := map[string]string{}
	for i, name := range rows[0] {
		column[name] = rows[1][i]
	}
	first := r.Benchmarks[0]
	for name, want := range map[string]string{
		"name": first.Name, "size_bytes": "64", "rate_hz": "0", "count": decimal(float64(first.Restarts[0].Count)),
		"p99_ns": decimal(first.Restarts[0].P99NS), "taint": `a "reason", with all` + "\n;gc",
	} {
		if column[name] != want {
			t.Errorf("%s is %q, want %q", name, column[name], want)
		}
	}
}

func TestCSVSaysWhatIsInconclusive(t *testing.T) {
	r := run()
	reasons := map[string]string{}
	for _, one := range r.Benchmarks {
		reasons[one.Name] = one.Inconclusive
	}
	rows, err := csv.NewReader(bytes.NewReader(written(t, CSV(r)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last, told := len(CSVHeader)-1, 0
	for _, row := range rows[1:] {
		if row[last] != reasons[row[0]] {
			t.Errorf("%s: %q, want %q", row[0], row[last], reasons[row[0]])
		}
		if row[last] != "" {
			told++
		}
	}
	if CSVHeader[last] != "inconclusive" || told == 0 {
		t.Errorf("%d rows say why, in a column named %s", told, CSVHeader[last])
	}
}

// A percentile that the samples of a restart do not bear is left out.
func TestPercentilesOfFewSamplesAreLeftOut(t *testing.T) {
	for count, want := range map[int64]struct{ benchfmt, row string }{
		99:   {"1 p50-ns ", ",1,,,"},
		100:  {"1 p50-ns 2 p90-ns ", ",1,2,,"},
		999:  {"1 p50-ns 2 p90-ns ", ",1,2,,"},
		1000: {"1 p50-ns 2 p90-ns 3 p99-ns ", ",1,2,3,"},
	} {
		one := bench.Result{Spec: bench.Spec{Transport: bench.TCP}.WithDefaults(), Count: count, Restarts: []bench.Restart{
			{Count: count, Duration: time.Second, P50NS: 1, P90NS: 2, P99NS: 3},
		}}
		r := Run{Benchmarks: []bench.Result{one}}
		if got := string(written(t, Benchfmt(r))); !strings.Contains(got, " ns/op "+want.benchfmt+decimal(float64(count))+" ops/s") {
			t.Errorf("%d samples are written as %s", count, got)
		}
		if got := string(written(t, CSV(r))); !strings.Contains(got, want.row) {
			t.Errorf("%d samples are written as %s", count, got)
		}
	}
}

func TestDecimal(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 1.5: "1.5", 100: "100", 1e6: "1000000", 2.0004: "2", 0.0006: "0.001"} {
		if got := decimal(v); got != want {
			t.Errorf("%g is %q, want %q", v, got, want)
		}
	}
}

func TestEveryOpHasAName(t *testing.T) {
	for _, transport := range bench.Transports {
		if name := goName(bench.Spec{Transport: transport}.WithDefaults()); strings.ContainsAny(name, " \t") || name[0] < 'A' || name[0] > 'Z' {
			t.Errorf("%s: %q is no name of a benchmark", transport, name)
		}
	}
}

// largest is a writer that keeps nothing but how much it got, and at most at once.
type largest struct{ all, atOnce int }

func (l *largest) Write(p []byte) (int, error) {
	l.all += len(p)
	l.atOnce = max(l.atOnce, len(p))
	return len(p), nil
}

// Hours of restarts are not held in memory as text.
func TestRestartsAreWrittenOneByOne(t *testing.T) {
	r := run()
	r.Benchmarks = r.Benchmarks[:1]
	r.Benchmarks[0].Restarts = slices.Repeat(r.Benchmarks[0].Restarts, 2000)
	var written largest
	if err := JSON(r)(&written); err != nil {
		t.Fatal(err)
	}
	if written.all < 2_000_000 || written.atOnce > 64<<10 {
		t.Errorf("%d bytes, of which %d at once", written.all, written.atOnce)
	}
}
