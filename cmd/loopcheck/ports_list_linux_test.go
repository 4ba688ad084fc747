package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// startWatch starts a watch of one port and returns what it prints.
func startWatch(t *testing.T, port uint16, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := loopcheck(t, append([]string{"ports", "list", "--watch", "--protocol", "tcp", "--ports", strconv.Itoa(int(port))}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(stdout)
}

// readLine waits for the next line; a watch that ends without one fails the test.
func readLine(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	line, err := from.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// heldPort is a port with a listener at another address of lo, and what opens it at
// 127.0.0.1. It is none that the kernel gives to whoever asks for any, such as to the
// clients of other tests, which would keep it from being opened.
func heldPort(t *testing.T) (port uint16, open func() net.Listener) {
	t.Helper()
	at := func(address string) (net.Listener, error) {
		return net.Listen("tcp4", net.JoinHostPort(address, strconv.Itoa(int(port))))
	}
	for range 100 {
		port = 20_000 + rand.N[uint16](10_000)
		keeper, err := at("127.0.0.2")
		if err != nil {
			continue
		}
		t.Cleanup(func() { keeper.Close() })
		if free, err := at("127.0.0.1"); err != nil || free.Close() != nil {
			continue
		}
		return port, func() net.Listener {
			l, err := at("127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return l
		}
	}
	t.Fatal("no port is free")
	return 0, nil
}

func TestWatchShowsChangesUntilASignal(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		port, open := heldPort(t)
		cmd, out := startWatch(t, port)
		if head := readLine(t, out); !strings.HasPrefix(head, "PROTO") {
			t.Fatalf("the heading is %q", head)
		}
		if present := readLine(t, out); !strings.Contains(present, "127.0.0.2") {
			t.Fatalf("the present listener is %q", present)
		}
		listener := open()
		at := regexp.QuoteMeta(listener.Addr().String())
		const when = `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} `
		if line := readLine(t, out); !regexp.MustCompile(when + `\+ tcp ` + at + `, loopback, loopcheck.* \(pid \d+`).MatchString(line) {
			t.Errorf("opened: %q", line)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		if line := readLine(t, out); !regexp.MustCompile(when + `- tcp ` + at + `, loopback, loopcheck.* \(pid \d+`).MatchString(line) {
			t.Errorf("closed: %q", line)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
			t.Errorf("it ended with %q, %v", rest, err)
		}
		if got := exitCode(t, cmd); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
	}
}

func TestWatchAsJSONIsADocumentALine(t *testing.T) {
	port, open := heldPort(t)
	cmd, out := startWatch(t, port, "--json")
	var list listeners.List
	if err := json.Unmarshal([]byte(readLine(t, out)), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Listeners) != 1 || list.Listeners[0].Port != port || list.Unseen == nil {
		t.Errorf("the first document is %+v", list)
	}
	listener := open()
	for _, opened := range []bool{true, false} {
		var e listeners.Event
		if err := json.Unmarshal([]byte(readLine(t, out)), &e); err != nil {
			t.Fatal(err)
		}
		if e.Opened != opened || e.When.IsZero() || e.Listener.AddrPort().String() != listener.Addr().String() || len(e.Listener.Owners) == 0 {
			t.Errorf("opened %v is told as %+v", opened, e)
		}
		if err := listener.Close(); opened && err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, cmd); got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
}

func TestWatchEndsWithItsReader(t *testing.T) {
	port, open := heldPort(t)
	cmd := loopcheck(t, "ports", "list", "--watch", "--ports", strconv.Itoa(int(port)))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	readLine(t, out)
	readLine(t, out)
	if err := stdout.Close(); err != nil {
		t.Fatal(err)
	}
	open()
	if got := exitCode(t, cmd); got != exitOK || strings.Contains(stderr.String(), "pipe") {
		t.Errorf("exit code %d, stderr %q", got, stderr.String())
	}
}

func TestListFitsItsTerminal(t *testing.T) {
	const width = 48
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal is to be had here: %v", err)
	}
	defer master.Close()
	if err := pty.Setsize(slave, &pty.Winsize{Rows: 24, Cols: width}); err != nil {
		t.Fatal(err)
	}
	port, _ := heldPort(t)
	cmd := loopcheck(t, "ports", "list", "--ports", strconv.Itoa(int(port)))
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdout = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var drawn bytes.Buffer
	// Linux ends a terminal whose other side is closed with EIO.
	if _, err := io.Copy(&drawn, master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if got := exitCode(t, cmd); got != exitOK {
		t.Fatalf("exit code %d", got)
	}
	text := strings.ReplaceAll(drawn.String(), "\r\n", "\n")
	for line := range strings.Lines(text) {
		if n := terminal.Columns(strings.TrimSuffix(line, "\n")); n > width {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(text, "backlog 0/") || !strings.Contains(text, "user ") {
		t.Errorf("it lacks what did not fit: %q", text)
	}
}
