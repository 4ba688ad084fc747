package compare

import (
	"encoding/csv"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/export"
	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/report"
)

// statUnits are what benchstat calls the quantities.
var statUnits = map[bench.Quantity]string{
	bench.P50: "p50-sec", bench.P90: "p90-sec", bench.P99: "p99-sec", bench.Rate: "ops/s", bench.CPU: "cpu-sec/op",
}

// benchstat compares two reports by their exported form, and returns its changes by
// benchmark and unit: such as "+13.59%", or "~" where it finds none.
func benchstat(t *testing.T, base, after *report.Report) map[[2]string]string {
	t.Helper()
	var files []string
	for name, r := range map[string]*report.Report{"base": base, "new": after} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, rendered(t, export.Benchfmt(report.Bench(r).Export())), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, name+"="+file)
	}
	if strings.HasPrefix(files[0], "new=") {
		files[0], files[1] = files[1], files[0]
	}
	// Machines are not told apart by it: those of the pair differ.
	args := append([]string{"tool", "-modfile=../../tools/go.mod", "benchstat", "-format", "csv", "-ignore", "kernel,loopcheck"}, files...)
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		said := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = string(exit.Stderr)
		}
		t.Fatalf("benchstat: %v: %s", err, said)
	}
	found := map[[2]string]string{}
	reader := csv.NewReader(strings.NewReader(string(out)))
	reader.FieldsPerRecord = -1
	rows, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	unit, column := "", 0
	for _, row := range rows {
		for i, cell := range row {
			if cell == "vs base" {
				unit, column = row[1], i
			}
		}
		if column > 0 && len(row) > column && strings.Contains(row[0], "/") {
			found[[2]string{row[0], unit}] = row[column]
		}
	}
	return found
}

// benchstat reads what is exported of both sides, finds what is found here, and
// agrees on which side is the slower.
func TestBenchstatAgreesOnTheSign(t *testing.T) {
	base, after := pair()
	changes := benchstat(t, base, after)
	compared := 0
	for _, b := range Reports(base, after, rules).Benchmarks {
		transport, _, _ := strings.Cut(b.Name, "/")
		name := strings.ToUpper(transport[:1]) + transport[1:] + "/op=rr/engine=raw/placement=same-core/size=64B"
		for _, m := range b.Metrics {
			change, told := changes[[2]string{name, statUnits[m.Quantity]}]
			if !told {
				t.Errorf("benchstat tells nothing of %s of %s: %v", m.Quantity, name, changes)
				continue
			}
			compared++
			want := "~"
			if m.Verdict == judge.Regression || m.Verdict == judge.Improvement {
				want = map[bool]string{true: "+", false: "-"}[m.Ratio.Value > 1]
			}
			if !strings.HasPrefix(change, want) {
				t.Errorf("%s of %s: benchstat says %s; want %s, for it is %s by %.3f", m.Quantity, b.Name, change, want, m.Verdict, m.Ratio.Value)
			}
		}
	}
	if compared != 3*len(statUnits) {
		t.Errorf("%d figures are compared, want %d", compared, 3*len(statUnits))
	}
}
