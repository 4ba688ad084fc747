//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// onTerminal runs two suites with stderr on a pseudo-terminal of a width and
// returns what the terminal was sent.
func onTerminal(t *testing.T, columns uint16, environment ...string) string {
	t.Helper()
	return drawnBy(t, loopcheck(t, "run", "--suite", "tcp,udp", "--out", ""), columns, environment...)
}

// drawnBy is what a command sends to its stderr where that is a pseudo-terminal.
func drawnBy(t *testing.T, cmd *exec.Cmd, columns uint16, environment ...string) string {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal is to be had here: %v", err)
	}
	defer master.Close()
	if err := pty.Setsize(slave, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(append(cmd.Env, "TERM=xterm"), environment...)
	cmd.Stderr = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var drawn bytes.Buffer
	// Linux ends a terminal whose other side is closed with EIO.
	if _, err := io.Copy(&drawn, master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, drawn.String())
	}
	return drawn.String()
}

const redraw = "\r\x1b[K"

// screen replays the redraws: what is left on each row.
func screen(drawn string) []string {
	var rows []string
	for _, row := range strings.Split(strings.TrimSuffix(drawn, "\r\n"), "\r\n") {
		parts := strings.Split(row, redraw)
		rows = append(rows, parts[len(parts)-1])
	}
	return rows
}

func TestProgressOnATerminal(t *testing.T) {
	drawn := onTerminal(t, 80)
	if n := strings.Count(drawn, redraw); n < 20 {
		t.Errorf("%d redraws, want at least one a check", n)
	}
	if !strings.Contains(drawn, "TCP-029 ") {
		t.Error("the current check was not shown")
	}
	rows := slices.DeleteFunc(screen(drawn), ofNoConclusion)
	if len(rows) != 2 {
		t.Fatalf("%d rows are left, want one a suite: %q", len(rows), rows)
	}
	for i, suite := range []string{"tcp", "udp"} {
		count := quickChecks(suite)
		want := fmt.Sprintf(`^%s +%d/%d +\d+\.\d s  (?:\x1b\[\d+m(\d+) inconclusive\x1b\[0m, )?\x1b\[32m(\d+) pass\x1b\[0m$`, suite, count, count)
		told := regexp.MustCompile(want).FindStringSubmatch(rows[i])
		if told == nil {
			t.Errorf("row %q, want %s", rows[i], want)
			continue
		}
		inconclusive, _ := strconv.Atoi(told[1]) // empty where there is none
		if passed, _ := strconv.Atoi(told[2]); passed+inconclusive != count {
			t.Errorf("row %q is not of %d checks", rows[i], count)
		}
	}
}

// ofNoConclusion tells the line of a check that a busy machine kept from a verdict: it
// stays, as wide as it is.
func ofNoConclusion(row string) bool { return strings.Contains(row, "INCONCLUSIVE") }

func TestProgressFitsANarrowTerminal(t *testing.T) {
	colour := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, part := range regexp.MustCompile(`\r\x1b\[K|\r\n`).Split(onTerminal(t, 40), -1) {
		if n := len([]rune(colour.ReplaceAllString(part, ""))); n > 40 && !ofNoConclusion(part) {
			t.Errorf("%d columns drawn on 40: %q", n, part)
		}
	}
}

func TestNothingMovesWhereNobodyWatches(t *testing.T) {
	for _, environment := range []string{"CI=true", "TERM=dumb"} {
		if drawn := onTerminal(t, 80, environment); strings.Contains(drawn, "\x1b[K") || !strings.Contains(drawn, "tcp ") {
			t.Errorf("%s: drew %q", environment, drawn)
		}
	}
	if drawn := onTerminal(t, 80, "NO_COLOR=1"); strings.Contains(drawn, "\x1b[3") || !strings.Contains(drawn, redraw) {
		t.Errorf("NO_COLOR: drew %q", drawn)
	}
}

// scan is a command that scans in a network namespace of its own, where one is to be
// had: it sends to every port, and other tests hold some.
func scan(t *testing.T, addresses ...string) *exec.Cmd {
	t.Helper()
	cmd := loopcheck(t, append([]string{"ports", "scan"}, addresses...)...)
	apart := []string{"unshare", "-rn", "sh", "-c", `ip link set dev lo up && exec "$@"`, "sh"}
	if exec.Command(apart[0], slices.Concat(apart[1:], []string{"true"})...).Run() != nil {
		return cmd
	}
	cmd.Args = slices.Concat(apart, []string{cmd.Path}, cmd.Args[1:])
	var err error
	if cmd.Path, err = exec.LookPath(apart[0]); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A scan fills a bar for each address and protocol, and takes it away again.
func TestAScanFillsABar(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ports are scanned on Linux")
	}
	drawn := drawnBy(t, scan(t), 60)
	for _, want := range []string{"tcp 127.0.0.1 [", "udp 127.0.0.1 [", " %"} {
		if !strings.Contains(drawn, want) {
			t.Errorf("%q was not drawn: %q", want, drawn)
		}
	}
	if rows := screen(drawn); len(rows) != 1 || rows[0] != "" {
		t.Errorf("left behind: %q", rows)
	}
	if drawn := drawnBy(t, scan(t), 60, "CI=true"); drawn != "" {
		t.Errorf("in CI: drew %q", drawn)
	}
}

// Ctrl-C ends a scan at once, with nothing half-told on stdout.
func TestASignalEndsAScan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ports are scanned on Linux")
	}
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal is to be had here: %v", err)
	}
	defer master.Close()
	// So many addresses take longer than the signal.
	var addresses []string
	for i := range 100 {
		addresses = append(addresses, fmt.Sprintf("127.0.0.%d", i+1))
	}
	cmd := scan(t, addresses...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	// What is drawn says that the scan is under way.
	if _, err := master.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || out.Len() > 0 {
		t.Errorf("exit code %d, printed %q", code, out.String())
	}
}
