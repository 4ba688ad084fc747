package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// The test binary is loopcheck where it is called by that name.
func TestMain(m *testing.M) {
	holdMain()
	bench.Main() // before sandbox.Main, for what measures in a sandbox
	sandbox.Main()
	testscript.Main(m, map[string]func(){"loopcheck": main, "holder": holder, "occupant": occupant})
}

// quickChecks counts the checks of suites that a run without --full asks.
func quickChecks(suites ...string) (count int) {
	for _, c := range check.All() {
		if slices.Contains(suites, c.Suite) && !c.Slow {
			count++
		}
	}
	return count
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true, UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"one-line":    oneLineOf,
			"valid":       validReport,
			"valid-bench": validBench,
			"json":        oneDocument,
			"ladder":      validLadder,
			"comparison":  validComparison,
			"valid-http":  validHTTP,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "userns":
				return exec.Command("unshare", "-rmn", "true").Run() == nil, nil
			case "procns": // with a /proc and a root of cgroups of its own as well
				return exec.Command("unshare", "-rnpfC", "--mount-proc", "true").Run() == nil, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Setup: func(e *testscript.Env) error {
			// What the machine has set must not decide what the tests see.
			e.Setenv("NO_COLOR", "")
			e.Setenv("CI", "")
			e.Setenv("ESCAPE", "\x1b")
			for _, suite := range []string{"tcp", "udp"} {
				e.Setenv("QUICK_"+strings.ToUpper(suite), strconv.Itoa(quickChecks(suite)))
			}
			return nil
		},
	})
}

// exits CODE PROGRAM ARGS... runs a program and expects its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// one-line FILE expects exactly one line, without a stack trace, that begins
// with the program's name.
func oneLineOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: one-line FILE")
	}
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || !strings.HasPrefix(text, "loopcheck: ") {
		ts.Fatalf("want one line that begins with the program's name, got %q", text)
	}
}

// valid FILE expects a report that follows the published schema.
func validReport(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: valid FILE")
	}
	ts.Check(reporttest.Check([]byte(ts.ReadFile(args[0]))))
}

// valid-bench FILE expects benchmarks that follow the published schema.
func validBench(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: valid-bench FILE")
	}
	ts.Check(reporttest.CheckBench([]byte(ts.ReadFile(args[0]))))
}

// ladder FILE expects a ladder that follows the published schema.
func validLadder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ladder FILE")
	}
	ts.Check(reporttest.CheckLadders([]byte(ts.ReadFile(args[0]))))
}

// comparison FILE expects comparisons that follow the published schema.
func validComparison(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: comparison FILE")
	}
	ts.Check(reporttest.CheckComparisons([]byte(ts.ReadFile(args[0]))))
}

// valid-http FILE expects what http prints to follow the published schema.
func validHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: valid-http FILE")
	}
	ts.Check(reporttest.CheckHTTP([]byte(ts.ReadFile(args[0]))))
}

// json FILE expects exactly one JSON document.
func oneDocument(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: json FILE")
	}
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	var document any
	ts.Check(decoder.Decode(&document))
	if err := decoder.Decode(&document); !errors.Is(err, io.EOF) {
		ts.Fatalf("more than one document: %v", err)
	}
}

// loopcheck returns a command that runs this test binary as loopcheck.
func loopcheck(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("loopcheck")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "CI=", "NO_COLOR=")
	return cmd
}
