package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// playSoak makes the test binary play soak, by argv[0].
const playSoak = "soak"

func TestMain(m *testing.M) {
	switch {
	case os.Args[0] == stageName:
		stageMain(os.Args[1:])
		os.Exit(exitFailed)
	case os.Args[0] == playNothing:
		return
	case os.Args[0] == playSoak:
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	case len(os.Args) > 1 && os.Args[1] == playFacts:
		os.Exit(factsMain(os.Args[2:]))
	}
	// Whatever a soak that is killed leaves behind is handed to the tests.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become a child subreaper:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// healthy is the report of a run in which all is well.
const healthy = `{"interrupted":false,"summary":{"verdict":"pass"},"checks":[{"id":"TCP-001","state":"pass","message":""}]}`

// publicDir makes a folder that every user can look into, as t.TempDir is not.
// It is one level down, so that the patterns of soakCommand do not match it.
func publicDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "soak-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	dir := filepath.Join(parent, "public")
	for _, path := range []string{parent, dir} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// script writes a shell script that stands in for loopcheck.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// soakCommand is a soak that has a temporary folder to itself and takes no
// notice of what other programs do in the folders they share.
func soakCommand(t *testing.T, tmp string, args ...string) *exec.Cmd {
	t.Helper()
	for _, shared := range []string{"/tmp/*", "/var/tmp/*", "/run/*", "/dev/shm/*", "/etc/*"} {
		args = append([]string{"-ignore", shared}, args...)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args = append([]string{playSoak}, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd
}

type soakResult struct {
	exit          int
	table, stderr string
	tmp           string
}

func runSoak(t *testing.T, args ...string) soakResult {
	t.Helper()
	r := soakResult{tmp: publicDir(t)}
	cmd := soakCommand(t, r.tmp, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r.exit, r.table, r.stderr = cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
	if folders, _ := filepath.Glob(filepath.Join(r.tmp, "soak-*")); len(folders) > 0 {
		t.Errorf("soak left its own folder behind: %s", folders)
	}
	return r
}

// must fails the test unless soak ended with the code and the table has all of
// the texts.
func (r soakResult) must(t *testing.T, exit int, texts ...string) {
	t.Helper()
	if r.exit != exit {
		t.Errorf("exit %d, want %d", r.exit, exit)
	}
	for _, text := range texts {
		if !strings.Contains(r.table, text) {
			t.Errorf("%q is missing in the table", text)
		}
	}
	if t.Failed() {
		t.Logf("table:\n%s\nstderr:\n%s", r.table, r.stderr)
	}
}

func TestCleanCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "table.md")
	r := runSoak(t, "-n", "3", "-o", out, "-allow", "reports", "--",
		script(t, `mkdir -p reports/run && date >>reports/run/report.json; echo '`+healthy+`'`))
	r.must(t, exitGood, "| plain | 3 | 0 | 0 ×3 | 0 | 0 | 0 | 0 | 0 | 3 |", "| nothing |")
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != r.table {
		t.Errorf("the file holds\n%s\nand stdout\n%s", written, r.table)
	}
	if got := strings.Count(r.stderr, "good\n"); got != 3 {
		t.Errorf("%d lines of progress say good, want 3:\n%s", got, r.stderr)
	}
}

func TestLeakOfProcessIsNamedAndEnded(t *testing.T) {
	// It holds on to stdout: soak must not wait for the end of that.
	r := runSoak(t, "-n", "2", "-keep-going", "--", script(t, `sleep 600 & echo '`+healthy+`'`))
	r.must(t, exitBad, "| plain | 2 | 0 |", "2 things, see below", "process left: pid", "(sleep)")
	for _, match := range regexp.MustCompile(`process left: pid (\d+)`).FindAllStringSubmatch(r.table, -1) {
		pid, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("pid %d is still there (%v)", pid, err)
		}
	}
}

func TestLeakOfProcessThatHidesIsNamed(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skipf("the process hides by setsid, of Debian's package util-linux: %v", err)
	}
	// A session of its own, an empty environment and a parent that ended: only
	// the subreaper still knows it.
	r := runSoak(t, "-n", "1", "--", script(t, `setsid env -i sleep 600 </dev/null >/dev/null 2>&1 & echo '`+healthy+`'`))
	r.must(t, exitBad, "process left: pid", "(sleep)")
}

func TestLeaksOfFilesAreNamed(t *testing.T) {
	r := runSoak(t, "-n", "1", "--", script(t, `
		echo x >litter
		echo x >"$TMPDIR/litter"
		mkdir "$HOME/.cache" && echo x >"$HOME/.cache/litter"
		echo x >"$0.litter"
		echo x >"$(dirname "$0")/../../litter" # the folder that all programs share
		echo '`+healthy+`'`))
	r.must(t, exitBad,
		"file left: plain/work/litter", "file left: plain/tmp/litter",
		"file left: plain/home/.cache/litter", "file left: bin/fake.litter",
		"file left: "+r.tmp+"/litter")
}

func TestFailOfReportIsShownAndStops(t *testing.T) {
	r := runSoak(t, "-n", "5", "-variant", "plain,twice", "--", script(t,
		`echo '{"summary":{"verdict":"fail"},"checks":[{"id":"TCP-030","state":"fail","message":"RST | never came"}]}'; exit 1`))
	r.must(t, exitBad, "| plain | 1 | 1 | 1 ×1 | 1 |", `| TCP-030 | fail | 1 | RST \| never came |`, "| twice | 0 | | not reached |")
}

func TestKeepGoing(t *testing.T) {
	runSoak(t, "-n", "3", "-keep-going", "-variant", "plain,twice", "--", script(t, `echo oops >&2; exit 3`)).
		must(t, exitBad, "| plain | 3 | 3 | 3 ×3 |", "| twice | 6 | 6 | 3 ×6 |", "it is empty; stderr ends: oops (×3)")
}

func TestCommandThatDoesNotEnd(t *testing.T) {
	runSoak(t, "-n", "1", "-timeout", "300ms", "--", script(t, `exec sleep 600`)).
		must(t, exitBad, "timeout ×1", "it did not end in time")
}

func TestCommandThatIsKilled(t *testing.T) {
	runSoak(t, "-n", "1", "--", script(t, `kill -SEGV $$`)).must(t, exitBad, "SIGSEGV ×1")
}

// startBlocking starts soak with a command whose second run does not end, and
// returns once that is under way, with its PID.
func startBlocking(t *testing.T, stdout *bytes.Buffer) (*exec.Cmd, int) {
	t.Helper()
	dir := publicDir(t)
	if err := unix.Mkfifo(filepath.Join(dir, "ready"), 0o600); err != nil {
		t.Fatal(err)
	}
	fake := script(t, `cd `+dir+`
		if [ -e ran ]; then echo $$ >ready; exec sleep 600; fi
		echo x >ran; echo '`+healthy+`'`)
	cmd := soakCommand(t, publicDir(t), "-n", "100", "--", fake)
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(filepath.Join(dir, "ready"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	if err != nil {
		t.Fatal(err)
	}
	return cmd, pid
}

func TestSignalEndsSoakWithPartialTable(t *testing.T) {
	for signal, exit := range map[unix.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			var stdout bytes.Buffer
			cmd, pid := startBlocking(t, &stdout)
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its error is the exit code
			r := soakResult{exit: cmd.ProcessState.ExitCode(), table: stdout.String()}
			r.must(t, exit, "Interrupted", "| plain | 1 | 0 | 0 ×1 |")
			if err := unix.Kill(pid, 0); err != unix.ESRCH {
				t.Errorf("the command is still there (%v)", err)
			}
		})
	}
}

func TestCommandDiesWithSoak(t *testing.T) {
	cmd, pid := startBlocking(t, &bytes.Buffer{})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its error is the signal
	// The orphan is handed to this process, which can wait for its end, unless a
	// thread of soak that was waiting for it took note of that end before its own.
	var status unix.WaitStatus
	switch _, err := unix.Wait4(pid, &status, 0, nil); {
	case err == unix.ECHILD:
	case err != nil:
		t.Fatal(err)
	case !status.Signaled() || status.Signal() != unix.SIGKILL:
		t.Errorf("the command ended with status %#x, want it killed", status)
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("the command is still there (%v)", err)
	}
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no command":         {nil, "no command"},
		"unknown variant":    {[]string{"-variant", "plain,moon", "--", "true"}, `unknown variant "moon": choose from plain, user`},
		"no runs":            {[]string{"-n", "0", "--", "true"}, "-n 0: want 1 or more"},
		"no time":            {[]string{"-timeout", "0s", "--", "true"}, "want a time above 0"},
		"a way out":          {[]string{"-allow", "../reports", "--", "true"}, "below the working folder"},
		"a relative pattern": {[]string{"-ignore", "go-build*", "--", "true"}, "want a glob pattern of an absolute path"},
		"a missing command":  {[]string{"--", "./no-such-command"}, "find the command"},
		"an unknown flag":    {[]string{"-moon", "--", "true"}, "flag provided but not defined: -moon"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runSoak(t, test.args...)
			if r.exit != exitUsage || !strings.Contains(r.stderr, test.want) {
				t.Errorf("exit %d, want %d; stderr %q, want %q", r.exit, exitUsage, r.stderr, test.want)
			}
			if got := strings.Count(strings.TrimSpace(r.stderr), "\n"); got != 0 {
				t.Errorf("the message has %d lines too many: %s", got, r.stderr)
			}
		})
	}
}
