package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/engine"
)

// hangingEngine is a docker that is asked for a port of a container and hangs, as it
// does from then on, until the test ends. The file tells that it was asked.
func hangingEngine(t *testing.T) (dir, asked string) {
	t.Helper()
	dir = t.TempDir()
	asked, until := filepath.Join(dir, "asked"), fifo(t, dir, "until")
	hold, err := os.OpenFile(until, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hold.Close() })
	script := fmt.Sprintf(`#!/bin/sh
case $1 in
context) echo unix:///run/docker.sock ;;
info) printf '28.0\n[name=seccomp]\n'; uname -r; echo Debian ;;
load) exec cat >/dev/null ;;
run) echo '{}'; exec cat %[1]s ;;
port) : >%[2]s; exec cat %[1]s ;;
rm) exec cat %[1]s ;;
image) [ "$2" = ls ] || exec cat %[1]s ;;
esac
`, until, asked)
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, asked
}

// An engine that hangs keeps a run neither from its end at a second signal, nor from
// hearing one more.
func TestSignalsEndARunWhoseEngineHangs(t *testing.T) {
	if err := engine.Static("/proc/self/exe"); err != nil {
		t.Skip(err)
	}
	dir, asked := hangingEngine(t)
	cmd := loopcheck(t, "run", "--suite", "containers", "--label-filter", "CTR-101", "--engine", "docker")
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "DOCKER_HOST=", "DOCKER_CONTEXT=")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the engine's hanging", func() bool {
		_, err := os.Stat(asked)
		return err == nil
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	last := insist(t, cmd, stderr)
	if want := "loopcheck: what was made with docker may be left: the next run with --engine docker removes it"; last != want {
		t.Errorf("said %q, want %q", last, want)
	}
}
