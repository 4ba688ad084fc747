package fleet

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hostile is what an attacker who may name a host would try.
const hostile = "<script>alert(1)</script>\x1b[31m\a\u202e\x00]]>"

// machine is the report of one: TCP-001 fails with the old kernel, UDP-001 warns on
// one machine alone, and PING-001 passes everywhere.
func machine(name, kernel, cpu string, medianNS float64) *report.Report {
	state := func(bad bool, worse check.State) check.State {
		if bad {
			return worse
		}
		return check.Pass
	}
	r := &report.Report{
		SchemaVersion: report.SchemaVersion,
		Started:       time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Host:          host.Facts{Hostname: name, OS: "Debian", Kernel: kernel, CPUs: []host.CPU{{Model: cpu}}, Virtualization: "kvm"},
		Checks: []report.Check{
			{ID: "PING-001", Suite: "ping", Title: "answers", State: check.Pass},
			{ID: "UDP-001", Suite: "udp", Title: "keeps", State: state(name == "web-4", check.Warn), Message: "odd " + hostile},
			{ID: "TCP-001", Suite: "tcp", Title: "echoes", State: state(kernel == "5.10", check.Fail), Message: "no echo"},
		},
		Benchmarks: []bench.Result{
			{Name: "tcp/rr/raw/same-core/64B", Count: 1, Percentiles: map[string]float64{"p50_ns": medianNS}},
		},
	}
	if name == "web-5" {
		r.Checks = r.Checks[:2] // was not asked TCP-001
	}
	r.Summary = report.Summarize(r.Checks)
	return r
}

// collected is a folder of seven reports of six machines, and of what is none.
func collected(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content func(io.Writer) error) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := folder.Write(path, content); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range []*report.Report{
		machine("web-1", "6.18", "Xeon", 15_000), machine("web-2", "6.18", "Xeon", 15_200),
		machine("web-3", "5.10", "Xeon", 15_100), machine("web-4", "5.10", "Xeon", 14_900),
		machine("web-5", "6.18", "Xeon", 23_000), machine("db-1"+hostile, "6.18", "EPYC", 11_000),
	} {
		write(fmt.Sprintf("%d/report.json", i), report.JSON(m))
	}
	older := machine("web-1", "5.10", "Xeon", 99_000)
	older.Started = older.Started.AddDate(0, 0, -1)
	write("older.json", report.JSON(older))
	write("notes.txt", func(w io.Writer) error { _, err := io.WriteString(w, "none"); return err })
	write("foreign.json", func(w io.Writer) error { _, err := io.WriteString(w, "{}"); return err })
	return dir
}

func loaded(t *testing.T) *Fleet {
	t.Helper()
	t.Chdir(collected(t))
	f, err := Load([]string{".", "./0/report.json"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheNewestReportOfEachMachineCounts(t *testing.T) {
	f := loaded(t)
	if len(f.Machines) != 6 || f.Older != 1 {
		t.Errorf("%d machines, %d older reports; want 6 and 1", len(f.Machines), f.Older)
	}
	want := []Unreadable{{"foreign.json", "read report: no schema_version: this is no loopcheck report of version 1"}}
	if diff := cmp.Diff(want, f.Unreadable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChecksThatDifferAreListedWithWhatTheyGoWith(t *testing.T) {
	f := loaded(t)
	if len(f.Checks) != 2 || f.Agreed != 1 {
		t.Fatalf("%d checks, %d agreed: %+v", len(f.Checks), f.Agreed, f.Checks)
	}
	tcp, udp := f.Checks[0], f.Checks[1]
	if tcp.ID != "TCP-001" || !slices.Equal(tcp.GoesWith, []string{"kernel"}) || !slices.Equal(f.on(tcp, check.Fail), []string{"web-3", "web-4"}) {
		t.Errorf("TCP-001: %+v", tcp)
	}
	if !slices.Equal(f.on(tcp, ""), []string{"web-5"}) {
		t.Errorf("TCP-001 was not asked on %v", f.on(tcp, ""))
	}
	if udp.ID != "UDP-001" || len(udp.GoesWith) != 0 || !slices.Equal(f.on(udp, check.Warn), []string{"web-4"}) {
		t.Errorf("UDP-001: %+v", udp)
	}
	for _, g := range f.Groups {
		if failed := slices.Equal(g.Failed, []string{"TCP-001"}); failed != (g.Kernel == "5.10") {
			t.Errorf("of kernel %s all fail %v", g.Kernel, g.Failed)
		}
	}
}

func TestOutliersAreOfOneKindOfProcessor(t *testing.T) {
	f := loaded(t)
	if len(f.Benchmarks) != 2 {
		t.Fatalf("%+v", f.Benchmarks)
	}
	xeon, epyc := f.Benchmarks[0], f.Benchmarks[1]
	if len(xeon.Outliers) != 1 || xeon.Outliers[0].Machine != "web-5" || math.Abs(xeon.Outliers[0].Effect-23.0/15.1+1) > 1e-9 {
		t.Errorf("xeon: %+v", xeon)
	}
	if epyc.Judged || len(epyc.Outliers) > 0 {
		t.Errorf("of one machine an outlier is told: %+v", epyc)
	}
}

func TestOutliersOfMachinesThatAreAlike(t *testing.T) {
	b := Benchmark{Machines: []string{"a", "b", "c", "d", "e", "f"}, MediansNS: []float64{100, 100, 100, 100, 104, 106}}
	b.judge()
	if len(b.Outliers) != 1 || b.Outliers[0].Machine != "f" || b.ScatterNS != 0 {
		t.Errorf("%+v", b)
	}
	nothing := Benchmark{Machines: b.Machines, MediansNS: make([]float64, 6)}
	if nothing.judge(); len(nothing.Outliers) > 0 {
		t.Errorf("%+v", nothing)
	}
}

func TestMachinesOfOneNameAreNumbered(t *testing.T) {
	machines := []Machine{{Machine: report.Machine{Hostname: "vm"}}, {Machine: report.Machine{Hostname: "vm"}}, {}}
	nameApart(machines)
	if machines[0].Name != "vm" || machines[1].Name != "vm #2" || machines[2].Name != "unnamed" {
		t.Errorf("%q, %q, %q", machines[0].Name, machines[1].Name, machines[2].Name)
	}
}

func TestLoadRefusesWhatIsNotThere(t *testing.T) {
	if f, err := Load([]string{filepath.Join(t.TempDir(), "absent")}); err == nil {
		t.Errorf("read %+v", f)
	}
}

func TestGolden(t *testing.T) {
	golden := map[string]func(*Fleet, io.Writer) error{
		"fleet.html": (*Fleet).HTML, "fleet.json": (*Fleet).JSON,
		"fleet.txt": func(f *Fleet, w io.Writer) error { return f.Text(w, 80) },
	}
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	f := loaded(t)
	// The folder is another each time.
	for i := range f.Machines {
		f.Machines[i].Path = fmt.Sprintf("%d/report.json", i)
	}
	for name, write := range golden {
		var got bytes.Buffer
		if err := write(f, &got); err != nil {
			t.Fatal(err)
		}
		written := withoutStyle(got.Bytes())
		benchtest.Golden(t, *update, filepath.Join(testdata, name), written)
		for _, bad := range []string{"\x1b", "\x00", "\u202e"} {
			if strings.Contains(got.String(), bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		if name == "fleet.html" && strings.Contains(got.String(), "<script") || strings.Contains(got.String(), " style=") {
			t.Errorf("%s holds markup of a machine", name)
		}
		if name == "fleet.json" {
			if err := reporttest.CheckMerged(got.Bytes()); err != nil {
				t.Error(err)
			}
		}
	}
}

// page is the page of what was collected, and where it is.
func page(t *testing.T) (address string) {
	t.Helper()
	var out bytes.Buffer
	if err := loaded(t).HTML(&out); err != nil {
		t.Fatal(err)
	}
	return pagetest.File(t, out.Bytes())
}

func TestThePageInABrowser(t *testing.T) { pagetest.Looks(t, "fleet", page(t)) }

func TestThePageIsAccessible(t *testing.T) { pagetest.Accessible(t, page(t)) }

// withoutStyle is a page without what its tests are not about: the style, which it
// shares with the report, and the policy that holds the hash of it.
func withoutStyle(page []byte) []byte {
	page = regexp.MustCompile(`(?s)<style>.*</style>`).ReplaceAll(page, []byte("<style></style>"))
	return regexp.MustCompile(`(Content-Security-Policy" content=")[^"]*`).ReplaceAll(page, []byte("$1"))
}
