//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// A signal ends it with what there is so far, and the progress is taken away.
func TestASignalEndsALadder(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		master, slave, err := pty.Open()
		if err != nil {
			t.Skipf("no pseudo-terminal is to be had here: %v", err)
		}
		defer master.Close()
		cmd := loopcheck(t, "bench", "ladder", "--placement", "same-core", "--restarts", "10000", "--window", "1ms")
		cmd.Env = append(cmd.Env, "TERM=xterm")
		var stdout, drawn bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		slave.Close()
		// What is drawn says that a first step was measured.
		for piece := make([]byte, 4096); !strings.Contains(drawn.String(), "the ladder"); {
			n, err := master.Read(piece)
			drawn.Write(piece[:n])
			if err != nil {
				t.Fatalf("it ended (%v), and drew %q", err, drawn.String())
			}
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		// Linux ends a terminal whose other side is closed with EIO.
		if _, err := io.Copy(&drawn, master); err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		if got := exitCode(t, cmd); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
		if out := stdout.String(); !strings.HasPrefix(out, "same-core: ") || !strings.HasSuffix(out, "\nInterrupted: this is what there was so far.\n") {
			t.Errorf("%v: printed %q", signal, out)
		}
		if !strings.HasSuffix(drawn.String(), redraw) {
			t.Errorf("%v: left %q", signal, drawn.String())
		}
	}
}
