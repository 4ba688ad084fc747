package history

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/pagetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hostile is what an attacker who may name a host or a check would try.
const hostile = "<script>alert(1)</script>\x1b[31m\a\u202e\x00]]>"

// someRun is the nth run of a machine: a check that begins to fail, and a benchmark
// that becomes slower, with its thirtieth run.
func someRun(n int, hostname string) *report.Report {
	random := rand.New(rand.NewPCG(5, uint64(n)))
	state, median := check.Pass, 15_000.0
	if n >= 30 {
		state, median = check.Fail, 19_000
	}
	r := &report.Report{
		SchemaVersion: report.SchemaVersion,
		Tool:          report.Tool{Version: "0.1.0"},
		Started:       time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, n),
		Host:          host.Facts{Hostname: hostname, Kernel: fmt.Sprintf("6.%d.0", 12+n/30), CPUs: []host.CPU{{Model: "CPU"}}, Virtualization: "kvm"},
		Suites:        []check.Suite{{Name: "tcp", Title: "TCP"}},
		Checks: []report.Check{
			{ID: "TCP-001", Suite: "tcp", Title: "echoes " + hostile, State: state},
			{ID: "TCP-002", Suite: "tcp", Title: "refuses", State: check.Pass},
		},
		Benchmarks: []bench.Result{
			{Name: "tcp/rr/raw/same-core/64B", Count: 1, Percentiles: map[string]float64{"p50_ns": median * (1 + 0.03*random.NormFloat64())}},
			{Name: "udp/rr/raw/same-core/64B", Count: 1, Percentiles: map[string]float64{"p50_ns": 11_000 * (1 + 0.03*random.NormFloat64())}},
		},
	}
	if n == 3 {
		r.Benchmarks[1].Inconclusive = "9 of 10 restarts are tainted"
	}
	r.Summary = report.Summarize(r.Checks)
	return r
}

func write(t testing.TB, reports, name string, content func(io.Writer) error) {
	t.Helper()
	dir := filepath.Join(reports, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := folder.Write(filepath.Join(dir, folder.JSON), content); err != nil {
		t.Fatal(err)
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// somePast is a folder of sixty runs of one machine, one of another, what is no
// report, and folders that are no runs.
func somePast(t testing.TB) string {
	t.Helper()
	reports := t.TempDir()
	for n := range 60 {
		write(t, reports, fmt.Sprintf("run-%02d", n), report.JSON(someRun(n, "web-1")))
	}
	write(t, reports, "other", report.JSON(someRun(2, "web-2"+hostile)))
	write(t, reports, "cut-short", text(`{"schema_version": "1", "checks": [`))
	write(t, reports, "foreign", text("[1, 2, 3]\n"))
	write(t, reports, "later"+hostile[:8], text(`{"schema_version": "9", "checks": 7}`))
	if err := os.MkdirAll(filepath.Join(reports, "no-run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(reports, "killed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(reports, "killed", folder.Journal), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := folder.Write(filepath.Join(reports, "run-00", folder.HTML), text("a page")); err != nil {
		t.Fatal(err)
	}
	_ = os.Symlink("run-00", filepath.Join(reports, folder.Latest)) // not on every system
	return reports
}

func TestLoadListsWhatItCannotRead(t *testing.T) {
	h, err := Load(somePast(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Runs) != 61 {
		t.Errorf("%d runs, want 61", len(h.Runs))
	}
	want := []Unreadable{
		{"cut-short/report.json", "read report: line 1, column 35: unexpected end of JSON input"},
		{"foreign/report.json", "read report: line 1, column 1: found a JSON array, not a report"},
		{"killed/report.json", "the run is not over, or was killed: `loopcheck report render` makes a report of its journal.jsonl"},
		{"later<script>/report.json", `read report: unknown schema_version "9": this loopcheck reads 1`},
	}
	if diff := cmp.Diff(want, h.Unreadable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := 1; i < len(h.Runs); i++ {
		if h.Runs[i].Started.Before(h.Runs[i-1].Started) {
			t.Errorf("run %d is older than the one before it", i)
		}
	}
}

func TestTrendsAreOfOneMachine(t *testing.T) {
	h, err := Load(somePast(t))
	if err != nil {
		t.Fatal(err)
	}
	trends := h.trends()
	if len(trends) != 2 || trends[0].Hostname != "web-1" || len(trends[0].Runs) != 60 || len(trends[1].Runs) != 1 {
		t.Fatalf("%d machines: %+v", len(trends), trends)
	}
	tcp, udp := trends[0].Benchmarks[0], trends[0].Benchmarks[1]
	if len(tcp.Changes) != 1 || tcp.Changes[0].At != 30 {
		t.Errorf("tcp changed at %+v, want 30", tcp.Changes)
	}
	if len(udp.Changes) != 0 || udp.Inconclusive != 1 || len(udp.Runs) != 59 {
		t.Errorf("udp: %d runs, %d inconclusive, changes %+v", len(udp.Runs), udp.Inconclusive, udp.Changes)
	}
	changed := trends[0].Changed
	if len(changed) != 1 || changed[0].ID != "TCP-001" || len(changed[0].Stretches) != 2 || changed[0].Stretches[0].N != 30 {
		t.Errorf("changed: %+v", changed)
	}
	if len(trends[0].Steady) != 1 {
		t.Errorf("steady: %+v", trends[0].Steady)
	}
}

func TestPageGolden(t *testing.T) {
	reports := somePast(t)
	if _, err := Write(reports); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(reports, Index))
	if err != nil {
		t.Fatal(err)
	}
	got = withoutStyle(got)
	benchtest.Golden(t, *update, filepath.Join("testdata", Index), got)
	for _, bad := range []string{"<script", "\x1b", "\x00", "\u202e", " style=", "javascript:"} {
		if bytes.Contains(got, []byte(bad)) {
			t.Errorf("the page holds %q", bad)
		}
	}
	// Each link leads to a report that is there.
	for _, link := range regexp.MustCompile(`href="(\./[^"]*)"`).FindAllSubmatch(got, -1) {
		if _, err := os.Stat(filepath.Join(reports, string(link[1]))); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
	if n := strings.Count(string(got), `href="./run-00/report.html"`); n == 0 {
		t.Error("the one run with a page is not linked")
	}
}

// somePage is the page of some past, and where it is.
func somePage(t *testing.T) (address string) {
	t.Helper()
	reports := somePast(t)
	if _, err := Write(reports); err != nil {
		t.Fatal(err)
	}
	return pagetest.URL(filepath.Join(reports, Index))
}

func TestThePageInABrowser(t *testing.T) { pagetest.Looks(t, "history", somePage(t)) }

func TestThePageIsAccessible(t *testing.T) { pagetest.Accessible(t, somePage(t)) }

func TestNoRunsAreAPage(t *testing.T) {
	reports := t.TempDir()
	if h, err := Write(reports); err != nil || len(h.Runs) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := Write(filepath.Join(reports, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no folder: %v", err)
	}
}

// thousand fills a folder with a thousand runs as large as the committed sample, with
// fifty benchmarks each, and returns how many bytes they are.
func thousand(b *testing.B, reports string) (size int64) {
	b.Helper()
	document, err := os.Open(filepath.Join("..", "..", "reports", "sample", folder.JSON))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = document.Close() }()
	sample, err := report.Read(document)
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(9, 9))
	for n := range 1000 {
		r := *sample
		r.Started = r.Started.Add(time.Duration(n) * time.Hour)
		r.Benchmarks = nil
		for i := range 50 {
			one := someRun(n%60, "").Benchmarks[0]
			one.Name = fmt.Sprintf("tcp/rr/raw/same-core/%dB", i+1)
			one.Percentiles = map[string]float64{"p50_ns": 15_000 * (1 + 0.08*random.NormFloat64()), "p90_ns": 2e4, "p99_ns": 3e4}
			one.Restarts = make([]bench.Restart, 10)
			one.Histogram = strings.Repeat("HISTFAAA", 100)
			r.Benchmarks = append(r.Benchmarks, one)
		}
		if n%100 == 50 {
			r.Checks = append([]report.Check{}, r.Checks...)
			r.Checks[n%len(r.Checks)].State = check.Fail
		}
		write(b, reports, fmt.Sprintf("run-%04d", n), report.JSON(&r))
		info, err := os.Stat(filepath.Join(reports, fmt.Sprintf("run-%04d", n), folder.JSON))
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// BenchmarkIndex makes the page of a thousand runs of which nothing is kept.
func BenchmarkIndex(b *testing.B) {
	reports := b.TempDir()
	size := thousand(b, reports)
	for b.Loop() {
		b.StopTimer()
		if err := os.RemoveAll(filepath.Join(reports, Kept)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := Write(reports); err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(reports, Index))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB-page")
	b.ReportMetric(float64(size)/1e6, "MB-read")
}

// withoutStyle is a page without what its tests are not about: the style, which it
// shares with the report, and the policy that holds the hash of it.
func withoutStyle(page []byte) []byte {
	page = regexp.MustCompile(`(?s)<style>.*</style>`).ReplaceAll(page, []byte("<style></style>"))
	return regexp.MustCompile(`(Content-Security-Policy" content=")[^"]*`).ReplaceAll(page, []byte("$1"))
}
