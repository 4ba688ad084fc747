package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ran is what the program printed, and its exit code.
func ran(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--rounds 0":             "peers: --rounds 0: write 1 or more; a ratio is worth quoting from 30\n",
		"--rounds many":          `peers: invalid value "many" for flag -rounds: parse error` + "\n",
		"--window 1us":           "peers: --window 1µs: write 1ms to 1m\n",
		"--window 2m":            "peers: --window 2m0s: write 1ms to 1m\n",
		"--repeat 1":             "peers: --repeat 1: write 2 or more: one run does not differ\n",
		"--only (":               "peers: --only \"(\": error parsing regexp: missing closing ): `(`\n",
		"--only sctp":            `peers: --only "sctp" matches nothing: --list prints all names` + "\n",
		"--loud":                 "peers: flag provided but not defined: -loud\n",
		"tcp/rr":                 `peers: "tcp/rr" is no flag: write --only REGEXP to choose comparisons` + "\n",
		"--repeat 2 --only sctp": `peers: --only "sctp" matches nothing: --list prints all names` + "\n",
	} {
		code, stdout, stderr := ran(t, strings.Fields(args)...)
		if code != exitUsage || stdout != "" || stderr != want {
			t.Errorf("%s: exit %d, printed %q and %q; want exit %d and %q", args, code, stdout, stderr, exitUsage, want)
		}
	}
	if code, stdout, stderr := ran(t, "--help"); code != exitDone || !strings.Contains(stdout, "-markdown") || stderr != "" {
		t.Errorf("--help: exit %d, printed %q and %q", code, stdout, stderr)
	}
}

func TestList(t *testing.T) {
	code, stdout, stderr := ran(t, "--list", "--only", "^tcp/.*same-core/.*(floor|iperf3)")
	want := strings.Join([]string{
		"tcp/rr/same-core/1B/floor-itself", "tcp/rr/same-core/1B/floor", "tcp/rr/same-core/1400B/floor",
		"tcp/crr/same-core/1B/floor", "tcp/stream/same-core/131072B/iperf3", "",
	}, "\n")
	if code != exitDone || stdout != want || stderr != "" {
		t.Errorf("exit %d, printed %q and %q; want %q", code, stdout, stderr, want)
	}
	if code, stdout, _ := ran(t, "--list", "--repeat", "20", "--only", "same-core|free"); code != exitDone || !strings.HasPrefix(stdout, "tcp/rr/raw/same-core/64B\n") || !strings.HasSuffix(stdout, "tcp/rr/netconn/free/64B\n") {
		t.Errorf("exit %d, printed %q; want names of benchmarks", code, stdout)
	}
}

// What is not installed is left out, and no failure.
func TestNothingInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	code, stdout, stderr := ran(t, "--rounds", "1", "--only", "tcp/rr/same-core/1B|sockperf")
	if code != exitDone {
		t.Errorf("exit %d, printed %q", code, stderr)
	}
	for _, want := range []string{
		errNoCompiler.Error(), "netperf is not installed", "neper is not installed: there is no tcp_rr on PATH",
		"sockperf is not installed", "qperf is not installed",
	} {
		if strings.Count(stdout, want+"\n") != 1 {
			t.Errorf("it does not say %q once: %s", want, stdout)
		}
	}
}

const aSockperf = "tcp/rr/same-core/14B/sockperf"

func TestAComparison(t *testing.T) {
	newStage(t, well)
	file := filepath.Join(t.TempDir(), "peers.json")
	code, stdout, stderr := ran(t, "--rounds", "1", "--markdown", "--json", file, "--only", aSockperf)
	if code != exitDone || !strings.Contains(stdout, "| comparison |") || !strings.Contains(stdout, "| sockperf |") {
		t.Errorf("exit %d, printed %s%s", code, stdout, stderr)
	}
	r := written(t, file)
	if len(r.Outcomes) != 1 || r.Outcomes[0].Comparison == nil {
		t.Fatalf("--json wrote %+v", r)
	}
	sides := r.Outcomes[0].Comparison.Sides
	if sides[0].Name != "sockperf" || sides[0].Restarts[0].P50NS != 12640 || sides[1].Restarts[0].P50NS <= 0 || sides[1].Restarts[0].Count < 1 {
		t.Errorf("restarts are %+v, want the one that sockperf prints and one of ours", sides)
	}
}

func written(t *testing.T, file string) report {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// One that fails is told, after which the others are made.
func TestAFailureIsTold(t *testing.T) {
	newStage(t, fails)
	code, stdout, stderr := ran(t, "--rounds", "1", "--only", "^tcp/rr/same-core/(14B/sockperf|1B/qperf)")
	if code != exitFailed || !strings.Contains(stdout, "failed: sockperf, round 1: sockperf: exit status 1: sockperf: connection refused") || !strings.Contains(stdout, "qperf is not installed") {
		t.Errorf("exit %d, printed %s", code, stdout)
	}
	if want := "could not be measured: " + aSockperf + "\n"; !strings.HasSuffix(stderr, want) {
		t.Errorf("it printed %q, want %q", stderr, want)
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	code, stdout, stderr := ran(t, "--only", aSockperf, "--json", filepath.Join(t.TempDir(), "absent", "peers.json"))
	if code != exitFailed || !strings.Contains(stderr, "absent") || !strings.Contains(stdout, "comparison") {
		t.Errorf("exit %d, printed %q and %q; want the table, and an error", code, stdout, stderr)
	}
}

func TestRepeat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	code, stdout, stderr := ran(t, "--repeat", "2", "--only", "^pipe.*same-core", "--json", file)
	if code != exitDone || !strings.Contains(stdout, "pipe/rr/raw/same-core/64B") || strings.Count(stderr, "run 2 of 2: ") != 1 {
		t.Errorf("exit %d, printed %s%s", code, stdout, stderr)
	}
	r := written(t, file)
	if len(r.Repeated) != 1 || len(r.Repeated[0].Runs) != 2 || slices.ContainsFunc(r.Repeated[0].Runs, func(one repetition) bool { return one.P50NS <= 0 || one.P99NS < one.P50NS }) {
		t.Errorf("--json wrote %+v, want two runs", r.Repeated)
	}
}

// Ctrl-C ends what was started, prints what there is and says so.
func TestInterrupt(t *testing.T) {
	st := newStage(t, wellOnce)
	file := filepath.Join(t.TempDir(), "peers.json")
	var stdout, stderr bytes.Buffer
	p, temporary := st.peers(&stdout, &stderr, "--rounds", "5", "--only", aSockperf, "--json", file)
	client := st.hanging() // of the second round
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("it ended with %v, want exit %d:\n%s%s", err, exitInterrupted, &stdout, &stderr)
	}
	st.gone(client)
	st.empty(temporary)
	if !strings.Contains(stdout.String(), "sockperf") || !strings.Contains(stdout.String(), "interrupted") || !strings.HasSuffix(stderr.String(), "peers: interrupted\n") {
		t.Errorf("it printed\n%s%s", &stdout, &stderr)
	}
	one := written(t, file).Outcomes[0]
	if !one.Interrupted || one.Comparison.Kept+one.Comparison.Discarded != 1 || len(one.Comparison.Sides[1].Restarts) != 1 {
		t.Errorf("--json wrote %+v, want the first round", one)
	}
}

// Even killed it leaves no program that it started.
func TestKilled(t *testing.T) {
	st := newStage(t, wellOnce)
	if err := os.Mkdir(filepath.Join(st.folder, "s.once"), 0o755); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	p, _ := st.peers(&said, &said, "--only", aSockperf)
	client := st.hanging()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // killed
	st.gone(client)
}

func TestNobodyReads(t *testing.T) {
	st := newStage(t, well)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	var stderr bytes.Buffer
	p, temporary := st.peers(write, &stderr, "--list")
	write.Close()
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("it ended with %v and printed %q, want exit %d and that the pipe is broken", err, &stderr, exitFailed)
	}
	st.empty(temporary)
}
