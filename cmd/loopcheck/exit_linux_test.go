package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A client that writes to a server that is gone gets EPIPE, as printing to a reader
// that is gone does.
func TestABenchWhoseServerDiesFails(t *testing.T) {
	cmd := loopcheck(t, "bench", "--transport", "unix", "--engine", "netconn", "--op", "stream", "--restarts", "1", "--window", "1m")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	server := 0
	await(t, "the server", func() bool {
		for _, pid := range children(t, cmd.Process.Pid) {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.HasPrefix(name, []byte("loopcheck: bench server")) {
				server = pid
			}
		}
		return server != 0
	})
	await(t, "a stream to the server", func() bool {
		read := 0 // bytes by read(2), proc_pid_io(5)
		if io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", server)); err != nil {
			t.Fatal(err)
		} else if _, err := fmt.Sscanf(string(io), "rchar: %d", &read); err != nil {
			t.Fatal(err)
		}
		return read > 16<<20
	})
	if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, cmd); got != exitHarness {
		t.Errorf("exit code %d, want %d", got, exitHarness)
	}
	if said := stderr.String(); !strings.HasPrefix(said, "loopcheck: ") || strings.Count(said, "\n") != 1 {
		t.Errorf("said %q, want one line", said)
	}
}

func TestOnlyAClosedStdoutIsNoError(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code int
	}{
		"stdout":                  {fmt.Errorf("write the benchmarks: %w", &fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.EPIPE}), exitOK},
		"stdout on a full device": {&fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.ENOSPC}, exitHarness},
		"a socket":                {&net.OpError{Op: "write", Net: "unix", Err: os.NewSyscallError("write", syscall.EPIPE)}, exitHarness},
		"a pipe":                  {&fs.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, exitHarness},
	} {
		var stderr bytes.Buffer
		a := &app{stderr: &stderr, parsed: true}
		if got := a.exitCode(c.err); got != c.code || (stderr.Len() == 0) != (c.code == exitOK) {
			t.Errorf("%s: exit code %d, said %q, want code %d", name, got, stderr.String(), c.code)
		}
		if kept := ignoreClosedPipe(c.err); errors.Is(kept, c.err) == (c.code == exitOK) {
			t.Errorf("%s: kept as %v", name, kept)
		}
	}
}
