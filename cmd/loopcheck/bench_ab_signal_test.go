//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/harness/report/reporttest"
)

// A signal while a side is measured undoes it, and prints what there is so far.
func TestASignalUndoesASideAndPrints(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the raw engine is Linux's")
	}
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated, syscall.SIGHUP: 129, syscall.SIGQUIT: 131} {
		cmd := loopcheck(t, "bench", "--ab", "--json", "--transport", "pipe", "--placement", "same-core", "--restarts", "500", "--window", "1ms",
			"--a-setup", "echo set >> log", "--a-undo", "echo undone >> log", "--b-setup", "echo set >> log", "--b-undo", "echo undone >> log")
		document := stopped(t, cmd, signal)
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
		if err := reporttest.CheckComparisons(document); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
		if !strings.Contains(string(document), `"interrupted": true`) {
			t.Errorf("%v: the document does not say that it was interrupted", signal)
		}
		log, err := os.ReadFile(filepath.Join(cmd.Dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		// A setup that the signal ended before it did anything is undone as well.
		if text := string(log); !strings.HasPrefix(text, "set\n") || strings.Contains(text, "set\nset\n") || !strings.HasSuffix(text, "undone\n") {
			t.Errorf("%v: the commands ran as %q", signal, text)
		}
	}
}

// A signal ends a setup that hangs, and what it has done is undone. A second one
// waits for that.
func TestASignalEndsASetupThatHangs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the raw engine is Linux's")
	}
	for _, signals := range []int{1, 2} {
		cmd := loopcheck(t, "bench", "--ab", "--transport", "pipe", "--placement", "same-core", "--window", "1ms",
			"--a-setup", "echo up > begun; exec sleep 600", "--a-undo", "echo up > undoing; cat go > undone")
		begun, undoing, proceed := fifo(t, cmd.Dir, "begun"), fifo(t, cmd.Dir, "undoing"), fifo(t, cmd.Dir, "go")
		interruptIn(t, cmd, begun)
		if _, err := os.ReadFile(undoing); err != nil {
			t.Fatal(err)
		}
		for range signals - 1 {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(proceed, []byte("went on\n"), 0); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != exitInterrupted {
			t.Errorf("after %d signals: exit code %d, want %d", signals, got, exitInterrupted)
		}
		if undone, err := os.ReadFile(filepath.Join(cmd.Dir, "undone")); string(undone) != "went on\n" {
			t.Errorf("after %d signals the side was not undone: %q, %v", signals, undone, err)
		}
	}
}

// What of a setup does not end when it is asked to does nothing more once it is
// undone.
func TestASetupThatGoesOnIsKilledFirst(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the raw engine is Linux's")
	}
	cmd := loopcheck(t, "bench", "--ab", "--transport", "pipe", "--placement", "same-core", "--window", "1ms",
		"--a-setup", `sh -c 'trap "" TERM; echo up > begun; cat go; echo set > state'; :`, "--a-undo", "echo base > state")
	begun, proceed := fifo(t, cmd.Dir, "begun"), fifo(t, cmd.Dir, "go")
	// So that cat waits for what is written, not for who writes.
	hold, err := os.OpenFile(proceed, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	interruptIn(t, cmd, begun)
	_ = cmd.Wait()
	if state, err := os.ReadFile(filepath.Join(cmd.Dir, "state")); string(state) != "base\n" {
		t.Errorf("it is left as %q, %v", state, err)
	}
	// Whoever is killed is gone in a moment, and then nobody reads any more.
	end, err := os.OpenFile(proceed, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	hold.Close()
	await(t, "the end of the setup", func() bool {
		_, err := end.Write([]byte("on\n"))
		return errors.Is(err, syscall.EPIPE)
	})
}

// interruptIn starts a comparison and interrupts it in a setup, which writes to a pipe
// when it has begun.
func interruptIn(t *testing.T, cmd *exec.Cmd, begun string) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(begun); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// fifo makes a pipe with a name: who opens it waits for the other end.
func fifo(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
