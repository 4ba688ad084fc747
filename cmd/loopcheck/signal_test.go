//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
)

// selection holds PING-019, which takes about a second and so leaves time to
// stop the run in the middle of it, and the suite that comes after.
const selection = "ping || udp"

// patience bounds the wait for what a run does within a second.
const patience = 20 * time.Second

// startRun starts a run and waits until the check is under way.
func startRun(t *testing.T, until string) *exec.Cmd {
	t.Helper()
	cmd := loopcheck(t, "run", "--label-filter", selection)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("output:\n%s", output.String())
		}
	})
	awaitJournal(t, cmd.Dir, `"began":"`+until+`"`)
	return cmd
}

// awaitJournal reads the journal as it grows until a line holds the text.
func awaitJournal(t *testing.T, dir, text string) {
	t.Helper()
	await(t, "a journal that holds "+text, func() bool {
		for _, path := range journals(t, dir) {
			if content, err := os.ReadFile(path); err == nil && strings.Contains(string(content), text) {
				return true
			}
		}
		return false
	})
}

// await asks again and again: a folder of another process has no event to
// wait for.
func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if there() {
			return
		}
	}
	t.Fatalf("%s was not there within %v", what, patience)
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "reports", "2*", "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func readLatest(t *testing.T, dir string) report.Report {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "reports", "latest", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	reporttest.Validate(t, content)
	var r report.Report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func needPing(t *testing.T) {
	t.Helper()
	document, _ := loopcheck(t, "run", "--out", "", "--label-filter", "PING-001", "--json").Output() // its verdict is no matter
	var r report.Report
	if err := json.Unmarshal(document, &r); err != nil {
		t.Fatal(err)
	}
	if r.Summary.Skipped > 0 {
		t.Skip("ping sockets and CAP_NET_RAW are refused here, and the long check needs either")
	}
}

func TestOneSignalEndsTheRunWithAReport(t *testing.T) {
	needPing(t)
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		cmd := startRun(t, "PING-019")
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if got := exitCode(t, cmd); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
		r := readLatest(t, cmd.Dir)
		if !r.Interrupted || r.Summary.Interrupted != quickChecks("udp") {
			t.Errorf("%v: interrupted %v, %d checks interrupted, want those of udp", signal, r.Interrupted, r.Summary.Interrupted)
		}
		for _, c := range r.Checks {
			if c.ID == "PING-019" && c.State == check.Inconclusive {
				continue // as on a busy machine: it ended
			}
			if want := map[string]check.State{"PING-019": check.Pass, "UDP-001": check.Interrupted}[c.ID]; want != "" && c.State != want {
				t.Errorf("%v: %s is %s, want %s", signal, c.ID, c.State, want)
			}
		}
	}
}

// What timeout(1) sends, to its command and to its group, asks once.
func TestASignalThatComesTwiceAsksOnce(t *testing.T) {
	needPing(t)
	cmd := startRun(t, "PING-019")
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if got := exitCode(t, cmd); got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
	if r := readLatest(t, cmd.Dir); !r.Interrupted {
		t.Error("the report does not say that the run was interrupted")
	}
}

// insist signals a run again that has said that this stops it at once, until it has
// ended, and returns the last line that it wrote. One signal alone could follow so
// soon that it is the same request.
func insist(t *testing.T, cmd *exec.Cmd, stderr io.Reader) (last string) {
	t.Helper()
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "once more stops at once") {
	}
	ended := make(chan int, 1)
	go func() {
		for lines.Scan() {
			last = lines.Text()
		}
		ended <- exitCode(t, cmd)
	}()
	await(t, "the end", func() bool {
		_ = cmd.Process.Signal(syscall.SIGINT)
		return len(ended) > 0
	})
	if got := <-ended; got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
	return last
}

func TestTwoSignalsEndTheRunAtOnce(t *testing.T) {
	needPing(t)
	cmd := loopcheck(t, "run", "--label-filter", selection)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitJournal(t, cmd.Dir, `"began":"PING-019"`)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	insist(t, cmd, stderr)
	if _, err := os.Stat(filepath.Join(cmd.Dir, "reports", "latest")); err == nil {
		t.Error("the run went on to its reports")
	}
}

func TestAKilledRunIsRenderedFromItsJournal(t *testing.T) {
	needPing(t)
	cmd := startRun(t, "PING-019")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as asked
	journal := journals(t, cmd.Dir)[0]

	render := loopcheck(t, "report", "render", "--json", journal)
	out, err := render.Output()
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	reporttest.Validate(t, out)
	var r report.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, c := range r.Checks {
		states[c.ID] = string(c.State) + " " + c.Message
	}
	for id, want := range map[string]string{
		"PING-001": "pass ",
		"PING-013": "pass ",
		"PING-019": "interrupted under way when the run was killed",
		"UDP-001":  "interrupted not asked: the run was killed before",
	} {
		if states[id] != want && !strings.HasPrefix(states[id], "skip") {
			t.Errorf("%s: %q, want %q", id, states[id], want)
		}
	}
	if planned := quickChecks("ping", "udp"); !r.Interrupted || r.Summary.Total != planned {
		t.Errorf("interrupted %v, %d checks, want all %d that were planned", r.Interrupted, r.Summary.Total, planned)
	}
	for _, name := range []string{"report.json", "report.html", "report.junit.xml"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(journal), name)); err != nil {
			t.Error(err)
		}
	}
}

// Once the reports are written nothing is left to wait for: not for a reader
// of stdout who never reads, either.
func TestASignalEndsARunThatCannotPrint(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	fill(t, write)

	cmd := loopcheck(t, "run", "--label-filter", "UDP-001")
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the link to the reports", func() bool {
		_, err := os.Stat(filepath.Join(cmd.Dir, "reports", "latest"))
		return err == nil
	})
	// The link is made while signals still wait for the reports, so the first
	// may be the one that waits.
	ended := make(chan int, 1)
	go func() { ended <- exitCode(t, cmd) }()
	await(t, "the end", func() bool {
		_ = cmd.Process.Signal(syscall.SIGINT)
		return len(ended) > 0
	})
	if got := <-ended; got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
}

// fill writes to a pipe, which does not block, until it takes no more.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var writeErr error
	err = raw.Write(func(fd uintptr) bool {
		for block := make([]byte, 1<<16); writeErr == nil; {
			_, writeErr = syscall.Write(int(fd), block)
		}
		return true
	})
	if err != nil || !errors.Is(writeErr, syscall.EAGAIN) {
		t.Fatal(err, writeErr)
	}
}
