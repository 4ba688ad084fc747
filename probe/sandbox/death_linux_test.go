package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deathTimeout bounds how long a process may take to be gone after what it
// depends on was killed. It takes milliseconds.
const deathTimeout = 10 * time.Second

// playStart starts a sandbox with a program in it, prints the worker's and the
// program's process IDs, and waits for its end.
func playStart() error {
	s, err := Start(context.Background(), pair)
	if err != nil {
		return err
	}
	if _, err := linger.Call(context.Background(), s, "client", os.Args[1]); err != nil {
		return err
	}
	fmt.Println(s.PID())
	select {}
}

// withProgram starts a process that starts a sandbox with a program inside, and
// returns both process IDs.
func withProgram(t *testing.T) (starter *exec.Cmd, worker int, programName string) {
	t.Helper()
	begin(t, Config{}) // or skip
	programName = fmt.Sprintf("lingering-%d-%s", os.Getpid(), t.Name())
	starter = exec.Command("/proc/self/exe")
	starter.Args = []string{playStarter, programName}
	starter.Stderr = os.Stderr
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = starter.Process.Kill(); _ = starter.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &worker); err != nil {
		t.Fatal(err)
	}
	// It has its name a moment after exec(2) has closed what its starter waits for.
	for end := time.Now().Add(deathTimeout); !isRunning(t, programName); {
		if time.Now().After(end) {
			t.Fatalf("%s is not running", programName)
		}
	}
	return starter, worker, programName
}

// isRunning looks for a process by its first argument.
func isRunning(t *testing.T, name string) bool {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline"); err == nil && strings.HasPrefix(string(line), name+"\x00") {
			return true
		}
	}
	return false
}

// awaitEnd waits until a process is gone, by its pidfd.
func awaitEnd(t *testing.T, fd int) {
	t.Helper()
	defer unix.Close(fd)
	for end := time.Now().Add(deathTimeout); time.Now().Before(end); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(deathTimeout/time.Millisecond))
		if n > 0 {
			return
		}
		if err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
	t.Fatal("the worker is still there")
}

func TestTheWorkerDiesWithItsParent(t *testing.T) {
	starter, worker, program := withProgram(t)
	fd, err := unix.PidfdOpen(worker, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, fd)
	if isRunning(t, program) {
		t.Error("what the worker had started is still there")
	}
}

func TestEverythingInsideDiesWithTheWorker(t *testing.T) {
	_, worker, program := withProgram(t)
	fd, err := unix.PidfdOpen(worker, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(worker, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, fd)
	if isRunning(t, program) {
		t.Error("what the worker had started is still there")
	}
}

// A terminal sends Ctrl-C to the whole foreground group: the check under way
// is to end first.
func TestTheWorkerIsNotInTheParentsProcessGroup(t *testing.T) {
	s := begin(t, Config{})
	group, err := unix.Getpgid(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	if group == unix.Getpgrp() {
		t.Error("the worker is in the process group of its parent")
	}
}
