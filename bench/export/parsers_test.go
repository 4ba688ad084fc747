package export

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/perf/benchfmt"
)

func TestBenchfmtReadsBack(t *testing.T) {
	r := run()
	reader := benchfmt.NewReader(bytes.NewReader(written(t, Benchfmt(r))), "bench.txt")
	seen := map[string]int{}
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Fatal(record)
		case *benchfmt.Result:
			seen[string(record.Name)]++
			for _, key := range []string{"goos", "goarch", "cpu", "kernel", "loopcheck"} {
				if record.GetConfig(key) == "" {
					t.Errorf("%s has no %s", record.Name, key)
				}
			}
			if p50, found := record.Value("p50-sec"); !found || p50 <= 0 || p50 > 1 {
				t.Errorf("%s: p50 of %g s", record.Name, p50)
			}
			if _, found := record.Value("sec/op"); found == strings.Contains(string(record.Name), "/rate=") {
				t.Errorf("%s: sec/op %v", record.Name, found)
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	for _, one := range r.Benchmarks {
		want := len(one.Counted())
		if one.Inconclusive != "" {
			want = 0
		}
		if got := seen[goName(one.Spec)]; got != want {
			t.Errorf("%s has %d lines, want one for each of %d restarts that are trusted", one.Name, got, want)
		}
	}
	if unit := reader.Units().Get("ops/s", "better"); unit == nil || unit.Value != "higher" {
		t.Errorf("more ops/s are %v", unit)
	}
}

// What is inconclusive is a comment, whatever its reason says.
func TestBenchfmtNamesWhatIsInconclusive(t *testing.T) {
	r := run()
	r.Benchmarks = r.Benchmarks[:1]
	r.Benchmarks[0].Inconclusive = "two\nlines: of\n\nBenchmarkX 1 1 ns/op"
	text := written(t, Benchfmt(r))
	if want := "\n# Tcp/op=rr/engine=raw/placement=same-core/size=64B: inconclusive: two lines: of BenchmarkX 1 1 ns/op\n"; !strings.HasSuffix(string(text), want) {
		t.Errorf("written as %s", text)
	}
	reader := benchfmt.NewReader(bytes.NewReader(text), "bench.txt")
	for reader.Scan() {
		if _, unit := reader.Result().(*benchfmt.UnitMetadata); !unit {
			t.Errorf("read as %v", reader.Result())
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
}

// benchstat finds no difference of a run to itself, and the difference to one that
// is slower.
func TestBenchstatCompares(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "benchstat")
	build := exec.Command("go", "build", "-o", program, "golang.org/x/perf/cmd/benchstat")
	build.Env = append(os.Environ(), "GOPROXY=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("benchstat cannot be built from what is here: %v\n%s", err, out)
	}
	slower := run()
	for i := range slower.Benchmarks {
		restarts := slower.Benchmarks[i].Restarts
		for j := range restarts {
			restarts[j].P50NS *= 1.5
		}
	}
	for name, r := range map[string]Run{"base": run(), "same": run(), "slower": slower} {
		if err := os.WriteFile(filepath.Join(dir, name), written(t, Benchfmt(r)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compare := func(other string) string {
		cmd := exec.Command(program, "-filter", ".unit:p50-ns /engine:raw", "base", other)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := compare("same"); !strings.Contains(out, "Tcp/op=rr/engine=raw/placement=same-core/size=64B") || !strings.Contains(out, "~ (p=1.000 n=10)") {
		t.Errorf("of a run and itself benchstat says\n%s", out)
	}
	if out := compare("slower"); !strings.Contains(out, "+50.00% (p=0.000 n=10)") {
		t.Errorf("of a run that is slower by half benchstat says\n%s", out)
	}
}

func parseOpenMetrics(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	decoder := expfmt.NewDecoder(bytes.NewReader(text), expfmt.NewFormat(expfmt.TypeOpenMetrics))
	found := map[string]*dto.MetricFamily{}
	for {
		var f dto.MetricFamily
		err := decoder.Decode(&f)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		found[f.GetName()] = &f
	}
}

func TestOpenMetricsReadsBack(t *testing.T) {
	r := run()
	text := written(t, OpenMetrics(r))
	found := parseOpenMetrics(t, text)
	latency := found["loopcheck_latency_seconds"]
	if latency == nil {
		t.Fatalf("no latencies in\n%s", text)
	}
	i := 0
	for _, one := range r.Benchmarks {
		if one.Count == 0 {
			continue
		}
		m := latency.GetMetric()[i]
		i++
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["transport"] != one.Transport || labels["op"] != one.Op || labels["placement"] != string(one.Placement) {
			t.Errorf("%s is labelled %v", one.Name, labels)
		}
		if got := m.GetSummary().GetSampleCount(); got != uint64(one.Count) {
			t.Errorf("%s: count %d, want %d", one.Name, got, one.Count)
		}
		for _, q := range m.GetSummary().GetQuantile() {
			if q.GetQuantile() == 0.5 && math.Abs(q.GetValue()*1e9-one.Percentiles["p50_ns"]) > 0.01 {
				t.Errorf("%s: median %g s, want %g ns", one.Name, q.GetValue(), one.Percentiles["p50_ns"])
			}
		}
	}
	if i != len(latency.GetMetric()) {
		t.Errorf("%d summaries of %d results", len(latency.GetMetric()), i)
	}
	if !bytes.HasSuffix(text, []byte("\n# EOF\n")) {
		t.Error("no EOF at the end")
	}
	for name := range found {
		if !strings.HasPrefix(name, "loopcheck_") {
			t.Errorf("%s does not say whose it is", name)
		}
	}
	if streams := found["loopcheck_stream_bytes_per_second"].GetMetric(); len(streams) != 1 || streams[0].GetGauge().GetValue() != 5.94e9 {
		t.Errorf("streams: %v", streams)
	}
	if n := len(found["loopcheck_inconclusive"].GetMetric()); n != i {
		t.Errorf("%d say whether they are conclusive, of %d", n, i)
	}
}

func TestOpenMetricsFamiliesHaveUnits(t *testing.T) {
	for _, f := range families {
		if f.unit != "" && !strings.HasSuffix(f.name, "_"+f.unit) {
			t.Errorf("%s does not end in its unit, %s", f.name, f.unit)
		}
	}
}
