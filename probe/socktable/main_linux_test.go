package socktable_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/socktable"
)

// roleVariable makes this binary play a part of a test instead of testing.
const roleVariable = "SOCKTABLE_TEST_ROLE"

// roles are what a child process of a test does. Each prints one line when it
// is ready and stays until its input ends.
var roles = map[string]func() error{
	"listen":   listenTCP,
	"inherit":  func() error { return stay("inherited") },
	"headless": listenWithoutFirstThread,
	"look":     look,
}

func init() {
	if os.Getenv(roleVariable) == "headless" {
		// The main goroutine begins on the process's first thread and is to end it.
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts this binary in a role and returns its first line. It is gone
// when the test has ended.
func child(t *testing.T, role string, change func(*exec.Cmd)) (*exec.Cmd, string) {
	t.Helper()
	// The path of a test binary may be closed to other users; this is not.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the child that is to %s: %v", role, err)
	}
	return cmd, strings.TrimSuffix(line, "\n")
}

func stay(ready string) error {
	fmt.Println(ready)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// hostileName is what a process may call itself.
const hostileName = "x\x1b[31m\n\\n(y) \xff"

func listenTCP() error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := os.WriteFile("/proc/self/comm", []byte(hostileName), 0); err != nil {
		return err
	}
	return stay(listener.Addr().String())
}

// listenWithoutFirstThread ends the process's first thread, as a program may
// with pthread_exit(3), and lives on.
func listenWithoutFirstThread() error {
	go func() {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err == nil {
			err = stay(listener.Addr().String())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}()
	_, _, errno := syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
	return errno
}

// view is what a child of another user saw.
type view struct {
	Sockets    []socktable.Socket
	Unreadable int
	PID        int
	Own        string
}

func look() error {
	own, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer own.Close()
	table, err := socktable.Read(context.Background(), socktable.Options{
		Protocols: []socktable.Protocol{socktable.TCP}, Owners: true,
	})
	if err != nil {
		return err
	}
	line, err := json.Marshal(view{table.Sockets, table.Unreadable, os.Getpid(), own.Addr().String()})
	if err != nil {
		return err
	}
	return stay(string(line))
}

// missing skips the test where this machine lacks what it asks for.
func missing(t *testing.T, err error) {
	t.Helper()
	for _, lack := range []error{
		syscall.EAFNOSUPPORT, syscall.EADDRNOTAVAIL, syscall.EPROTONOSUPPORT, syscall.EPERM, syscall.EACCES,
	} {
		if errors.Is(err, lack) {
			t.Skipf("not possible here: %v", err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
