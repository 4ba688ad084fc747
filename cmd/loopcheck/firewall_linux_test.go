package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/onsi/gomega"
)

// underWay is a bar of which some is full.
var underWay = regexp.MustCompile(`mutants \[#* *\] +[1-9][0-9]? %`)

// One signal ends mutating in the middle of it, takes the bar away, and leaves
// nothing behind.
func TestASignalEndsMutating(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	if err := exec.Command("unshare", "-rmn", "true").Run(); err != nil {
		t.Skipf("this machine gives its user no private namespaces: %v", err)
	}
	policies, err := filepath.Abs(filepath.Join(house, "firewall", "policy", "testdata", "good"))
	if err != nil {
		t.Fatal(err)
	}
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		master, slave, err := pty.Open()
		if err != nil {
			t.Skipf("no pseudo-terminal is to be had here: %v", err)
		}
		defer master.Close()
		var stdout bytes.Buffer
		cmd := loopcheck(t, "firewall", "mutate", filepath.Join(policies, "complete.yaml"))
		cmd.Env = append(cmd.Env, "TERM=xterm")
		cmd.Stdout, cmd.Stderr = &stdout, slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		slave.Close()
		var drawn bytes.Buffer
		for piece := make([]byte, 4096); !underWay.Match(drawn.Bytes()); {
			n, err := master.Read(piece)
			drawn.Write(piece[:n])
			if err != nil {
				t.Fatalf("it ended (%v), and drew %q", err, drawn.String())
			}
		}
		workers := children(t, cmd.Process.Pid)
		if len(workers) == 0 {
			t.Error("no sandbox is there")
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
		if stdout.Len() > 0 || !strings.HasSuffix(drawn.String(), redraw) {
			t.Errorf("%v: it printed %q and left %q", signal, stdout.String(), drawn.String())
		}
		await(t, "the end of the sandbox", func() bool {
			for _, pid := range workers {
				if alive(pid) {
					return false
				}
			}
			return true
		})
	}
}

// statOf are the state of a process and its parent (proc_pid_stat(5)).
func statOf(pid int) (state string, parent int, found bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err == nil
}

// alive says that a process has not ended. One that nobody has waited for has.
func alive(pid int) bool {
	state, _, found := statOf(pid)
	return found && state != "Z"
}

func children(t *testing.T, of int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, parent, found := statOf(pid); found && parent == of {
			list = append(list, pid)
		}
	}
	return list
}

// A signal ends a command that waits for a named pipe to be opened at its other
// end.
func TestASignalEndsReadingAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "rules")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"map", "--rules", pipe}, {"check", pipe}} {
		cmd := loopcheck(t, append([]string{"firewall"}, args...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		tasks := fmt.Sprintf("/proc/%d/task/*/wchan", cmd.Process.Pid)
		gomega.NewWithT(t).Eventually(func() (waits []string) {
			names, _ := filepath.Glob(tasks)
			for _, name := range names {
				content, _ := os.ReadFile(name)
				waits = append(waits, string(content))
			}
			return waits
		}, patience).Should(gomega.ContainElement("wait_for_partner"))
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitTerminated {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}
