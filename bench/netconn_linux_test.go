package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// parentName is the first argument by which the test binary becomes a process that
// starts servers, says so, and waits.
const parentName = "bench-parent"

func playParent() {
	if os.Args[0] != parentName {
		return
	}
	for _, o := range []order{
		{Transport: TCP, Op: RR, SizeBytes: 64, Listeners: 1},
		{Transport: Unix, Op: RR, SizeBytes: 64, Listeners: 1, Dir: os.Args[1]},
	} {
		p, err := startServer(context.Background(), o, -1, func(error) {})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(p.command.Process.Pid)
	}
	select {}
}

func processorsOf(t *testing.T, s Spec) topology.Pair {
	t.Helper()
	all, err := topology.Read()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := all.Pair(s.Placement)
	if err != nil {
		t.Skip(err)
	}
	return pair
}

// deathTimeout bounds how long a process may take to be gone after what it depends
// on was killed. It takes milliseconds.
const deathTimeout = 10 * time.Second

func TestServersDieWithTheirParent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "socket")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command("/proc/self/exe")
	parent.Args = []string{parentName, dir}
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill(); _ = parent.Wait() })
	var servers []int
	for lines := bufio.NewScanner(out); len(servers) < 2 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		servers = append(servers, fd)
	}
	if len(servers) != 2 {
		t.Fatalf("%d servers were started, want 2", len(servers))
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, fd := range servers {
		for end := time.Now().Add(deathTimeout); ; {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(deathTimeout/time.Millisecond))
			if n > 0 {
				break
			}
			if (err != nil && !errors.Is(err, syscall.EINTR)) || time.Now().After(end) {
				t.Fatalf("a server is still there (%v)", err)
			}
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of its socket is still there (%v)", err)
	}
}

// A terminal sends Ctrl-C to the whole foreground group.
func TestTheServerIsNotInTheParentsProcessGroup(t *testing.T) {
	e := openedNet(t, t.Context(), Spec{Transport: TCP, Engine: NetConn}.WithDefaults())
	defer closeNet(t, e)
	pid := e.server.command.Process.Pid
	group, err := unix.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	if group == unix.Getpgrp() {
		t.Error("the server is in the process group of its parent")
	}
	if err := unix.Kill(pid, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := e.run(newMeter(t), time.Millisecond); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
}
