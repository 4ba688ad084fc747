//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
)

// endless is a benchmark that is never precise enough, and shows its first percent
// within a quarter of a second.
func endless(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the raw engine is Linux's")
	}
	return loopcheck(t, append([]string{
		"bench", "--transport", "pipe", "--placement", "same-core", "--restarts", "3", "--window", "2ms", "--precision", "1e-9", "--duration", "20s",
	}, args...)...)
}

var begun = regexp.MustCompile(`[1-9] %`)

// stopped sends a signal once some of the benchmark is done, and returns what was
// printed.
func stopped(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) []byte {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal is to be had here: %v", err)
	}
	defer master.Close()
	if err := pty.Setsize(slave, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "TERM=xterm")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var drawn strings.Builder
	for part := make([]byte, 256); !begun.MatchString(drawn.String()); {
		n, err := master.Read(part)
		if err != nil {
			t.Fatalf("%v: drew %q", err, drawn.String())
		}
		drawn.Write(part[:n])
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&drawn, master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if !strings.HasSuffix(drawn.String(), redraw) || !regexp.MustCompile(`\d benchmarks? \[`).MatchString(drawn.String()) {
		t.Errorf("the bar is not taken away, or was not drawn: %q", drawn.String())
	}
	return out.Bytes()
}

// The first signal prints what there is so far.
func TestASignalEndsABenchWithItsFigures(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		cmd := endless(t)
		out := string(stopped(t, cmd, signal))
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
		if !strings.Contains(out, "\npipe/rr/raw/same-core/64B") || !strings.Contains(out, "\nInterrupted: ") {
			t.Errorf("%v: printed\n%s", signal, out)
		}
	}
}

func TestASignalLeavesJSONWhole(t *testing.T) {
	cmd := endless(t, "--json", "--transport", "tcp")
	document := stopped(t, cmd, syscall.SIGINT)
	if err := reporttest.CheckBench(document); err != nil {
		t.Fatal(err)
	}
	var run report.BenchRun
	if err := json.Unmarshal(document, &run); err != nil {
		t.Fatal(err)
	}
	if !run.Interrupted || len(run.Benchmarks) != 2 || len(run.Benchmarks[0].Restarts) == 0 || run.Benchmarks[0].Ended != bench.EndedInterrupted {
		t.Errorf("interrupted %v, benchmarks %v", run.Interrupted, run.Benchmarks)
	}
}

// Nothing moves where nobody watches.
func TestABenchDrawsNothingInCI(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the raw engine is Linux's")
	}
	cmd := loopcheck(t, "bench", "--transport", "pipe", "--placement", "same-core", "--restarts", "1", "--window", "2ms")
	if drawn := drawnBy(t, cmd, 60, "CI=true"); drawn != "" {
		t.Errorf("drew %q", drawn)
	}
}
