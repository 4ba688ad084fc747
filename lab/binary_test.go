// Package lab_test measures the built binary as a user has it.
package lab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// binary returns the path of what `make build` made.
func binary(b *testing.B) string {
	b.Helper()
	path, err := filepath.Abs("../bin/loopcheck")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		b.Skipf("run `make build` first: %v", err)
	}
	return path
}

// BenchmarkVersion is the start-up time; it also reports the binary's size.
func BenchmarkVersion(b *testing.B) {
	path := binary(b)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := exec.Command(path, "version").Run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}

// BenchmarkRun is a whole run in quick profile with all its reports; it also
// reports the largest resident set.
func BenchmarkRun(b *testing.B) {
	path := binary(b)
	var resident int64
	for b.Loop() {
		cmd := exec.Command(path, "run", "--out", b.TempDir())
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		resident = max(resident, maxResidentBytes(cmd.ProcessState))
	}
	if runtime.GOOS == "linux" {
		b.ReportMetric(float64(resident)/1e6, "rss-MB")
	}
}
