package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/lab/leftovers"
	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// playLab makes the test binary play faultlab, by argv[0].
const playLab = "faultlab"

func TestMain(m *testing.M) {
	become()
	if os.Args[0] == playLab {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, "faultlab:", err)
		}
		os.Exit(code)
	}
	code := m.Run()
	os.RemoveAll(builtIn)
	os.Exit(code)
}

// builtIn is the folder of what built has built.
var builtIn string

// built builds loopcheck once for all tests.
var built = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "faultlab-test-")
	if err != nil {
		return "", err
	}
	builtIn = folder
	path := filepath.Join(folder, "loopcheck")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/loopcheck").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func thisLoopcheck(t *testing.T) *lab {
	t.Helper()
	sandboxtest.Start(t, sandbox.Config{}) // skips where there are none
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLab(t.Context(), path, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// pretender is a program that says it is loopcheck, and what it is told to.
func pretender(t *testing.T, script string) *lab {
	t.Helper()
	if missing := lacks([]string{"prlimit"}); missing != "" {
		t.Skip(missing)
	}
	sandboxtest.Start(t, sandbox.Config{})
	path := filepath.Join(t.TempDir(), "loopcheck")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &lab{binary: path, known: []knownCheck{{"UDP-001", "udp"}}, log: io.Discard}
}

// reporting prints a report in which UDP-001 fails for a dropped datagram.
func reporting(remedy string) string {
	return fmt.Sprintf(`cat <<'END'
{"summary":{"verdict":"fail"},"checks":[{"id":"UDP-001","suite":"udp","state":"fail","causes":[{"id":"rule","summary":"a rule","evidence":["meta l4proto udp drop"]}],
"remedies":[{"command":%q,"cause":"rule"}]}]}
END
`, remedy)
}

func faultNamed(t *testing.T, name string) faults.Fault {
	t.Helper()
	for _, f := range faults.All() {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no fault %q", name)
	panic("unreachable")
}

// Everything on the list can be done here, and shows.
func TestEveryFaultIsInjected(t *testing.T) {
	sandboxtest.Start(t, sandbox.Config{})
	l := &lab{log: io.Discard}
	all := faults.All()
	each(t.Context(), len(all), 4, func(i int) {
		switch o := l.ask(t.Context(), all[i], false); {
		case o.Missing != "":
			t.Logf("%s: not asked: %s", o.Name, o.Missing)
		case o.Err != nil:
			t.Errorf("%s: %v", o.Name, o.Err)
		}
	})
}

func TestOnlyWhatBringsAllBackMends(t *testing.T) {
	f := faultNamed(t, "drop-udp")
	// The rule is the second of its chain.
	const exact = `nft -a list chain inet lab input | sed -n 's/.*udp drop # handle //p' | xargs nft delete rule inet lab input handle`
	for name, c := range map[string]struct {
		remedy string
		mends  bool
		left   string
	}{
		"the rule is deleted":    {exact, true, ""},
		"all rules are deleted":  {"nft flush ruleset", false, "gone"},
		"something else is done": {exact + " && sysctl -qw net.ipv4.tcp_sack=0", false, "tcp_sack"},
		"nothing is done":        {"true", false, "left"},
		"it cannot be run":       {"no-such-command", false, "no-such-command"},
	} {
		t.Run(name, func(t *testing.T) {
			o := pretender(t, reporting(c.remedy)).ask(t.Context(), f, false)
			if o.Err != nil || !o.Noticed || !o.Named {
				t.Fatalf("%+v", o)
			}
			if o.Mended != c.mends || !strings.Contains(strings.Join(o.Why, "\n"), c.left) {
				t.Errorf("mended %v, want %v; why: %q", o.Mended, c.mends, o.Why)
			}
		})
	}
}

// The kernel changes nothing by itself once the relay's device has its carrier.
func TestARelayIsMended(t *testing.T) {
	const alone = `while [ "$(cat /sys/class/net/lab0/operstate)" = down ]; do :; done
grep lab0 /proc/net/ipv6_route && exit 1
`
	f := faults.Fault{Machine: faults.Machine{Relay: &faults.Relay{Protocol: "udp"}}, Flagged: []string{"UDP-001"}, Causes: []string{"udp drop"}}
	if o := pretender(t, alone+reporting("ip rule del pref 50")).ask(t.Context(), f, false); o.Err != nil || !o.Mended {
		t.Errorf("%v, %q", o.Err, o.Why)
	}
}

// The command of a remedy is run where the process was damaged.
func TestARemedyForTheProcess(t *testing.T) {
	for remedy, mends := range map[string]bool{"ulimit -S -n 200": true, "echo nothing": false} {
		script := `if [ "$(ulimit -n)" -ge 200 ]; then echo '{"summary":{"verdict":"pass"},"checks":[{"id":"UDP-001","state":"pass"}]}'; exit; fi
` + reporting(remedy)
		f := faults.Fault{Process: faults.Process{Wrap: "prlimit --nofile=100:"}, Flagged: []string{"UDP-001"}, Causes: []string{"udp drop"}}
		if o := pretender(t, script).ask(t.Context(), f, false); o.Err != nil || o.Mended != mends {
			t.Errorf("%s: %+v", remedy, o)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for name, script := range map[string]string{"nothing": "exit 1", "no JSON": "echo sorry", "a crash": "kill -9 $$"} {
		o := pretender(t, script).ask(t.Context(), faultNamed(t, "drop-udp"), false)
		if o.Err != nil || o.Noticed || o.Named || len(o.Why) == 0 {
			t.Errorf("%s: %+v", name, o)
		}
		c := pretender(t, script).check(t.Context(), faults.Variants()[0])
		if c.Err != nil || len(c.Alarms) != 1 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// published are the cells of the rows of a section of the page, by name.
func published(t *testing.T, section string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/detection.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	rows := map[string][]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+) \|(.*)\|$`).FindAllStringSubmatch(rest, -1) {
		cells := strings.Split(strings.ReplaceAll(row[2], `\|`, "/"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[row[1]] = cells
	}
	return rows
}

func TestThePageListsAll(t *testing.T) {
	rows := published(t, "Each fault")
	for _, f := range faults.All() {
		if cells := rows[f.Name]; len(cells) != 5 || cells[0] != cell(f.Hurts) && cells[0] != strings.ReplaceAll(cell(f.Hurts), `\|`, "/") {
			t.Errorf("%s: published %q: run make faultlab", f.Name, cells)
		}
	}
	if rows := published(t, "Machines in order"); len(rows) < len(faults.Variants()) {
		t.Errorf("%d variants are published, of %d: run make faultlab", len(rows), len(faults.Variants()))
	}
}

// One in six of what the page says was found, and all that takes real root; not
// of what is left to chance.
func TestWhatWasFoundIsStillFound(t *testing.T) {
	rows := published(t, "Each fault")
	l := thisLoopcheck(t)
	var chosen []faults.Fault
	good := 0
	for _, f := range faults.All() {
		chance := strings.Contains(strings.Join(f.Damage, " "), "numgen random")
		if cells := rows[f.Name]; !chance && len(cells) == 5 && cells[1] == "yes" && cells[2] == "yes" && cells[3] == "yes" {
			if good++; good%6 == 1 {
				chosen = append(chosen, f)
				continue
			}
		}
		if f.RealRoot {
			chosen = append(chosen, f)
		}
	}
	patience, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	each(t.Context(), len(chosen), 2, func(i int) {
		began := counters.ReadCPU()
		o := l.ask(t.Context(), chosen[i], false)
		// Other tests keep the processors busy, of which a check that waited in
		// vain says that it cannot tell. They end some time, or a neighbour's do not.
		for o.Inconclusive && patience.Err() == nil {
			began = counters.ReadCPU()
			o = l.ask(t.Context(), chosen[i], false)
		}
		if share := counters.ReadCPU().Since(began); o.Inconclusive && (share.Waited >= 0.5 || share.Stolen >= 0.1) {
			t.Logf("%s: not to be told on processors this busy: %+v", o.Name, share)
			return
		}
		if o.Missing != "" {
			t.Logf("%s: not asked: %s", o.Name, o.Missing)
			return
		}
		cells, known := rows[o.Name]
		if !known || len(cells) < 4 {
			return // TestThePageListsAll says so
		}
		if o.Err != nil || cells[1] == "yes" && !o.Noticed || cells[2] == "yes" && !o.Named || cells[3] == "yes" && !o.Mended {
			t.Errorf("%s: %s %v, published was %q; why: %q", o.Name, o.verdict(), o.Err, cells[1:4], o.Why)
		}
	})
}

func TestSomeMachinesInOrder(t *testing.T) {
	l := thisLoopcheck(t)
	var chosen []faults.Variant
	for _, v := range faults.Variants() {
		if v.Name == "docker" || v.Name == "tuned-server" || v.Name == "ordinary-user" || v.Name == "read-only-root" {
			chosen = append(chosen, v)
		}
	}
	each(t.Context(), len(chosen), 2, func(i int) {
		c := l.check(t.Context(), chosen[i])
		// Where other tests keep the processors busy a check may say that it cannot
		// tell, which is no false alarm.
		c.Alarms = slices.DeleteFunc(c.Alarms, func(alarm string) bool {
			unsure := strings.Contains(alarm, " inconclusive: ")
			if unsure {
				t.Logf("%s: %s", c.Name, alarm)
			}
			return unsure
		})
		if c.Missing == "" && (c.Err != nil || len(c.Alarms) > 0) {
			t.Errorf("%s: %s", c.Name, c.verdict())
		}
	})
}

// Whatever is under way, nothing is left when faultlab is killed.
func TestNothingSurvives(t *testing.T) {
	if missing := lacks(nil); missing != "" {
		t.Skip(missing)
	}
	sandboxtest.Start(t, sandbox.Config{})
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "loopcheck")
	const script = `#!/bin/sh
[ "$1" = list ] && { echo '[{"id":"UDP-001","suite":"udp"},{"id":"UDP-010","suite":"udp"},{"id":"TCP-031","suite":"tcp"}]'; exit; }
exec sleep 600
`
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, end := range []os.Signal{os.Kill, os.Interrupt} {
		mark := "FAULTLAB_MARK=" + rand.Text()
		watch := leftovers.Watch{Root: os.Getpid(), Mark: mark, Patience: sleepTimeout}
		before, err := watch.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{playLab, "-run", "^(drop-udp|cgroup-egress|reordering|ephemeral-udp-held)$", "-variants=false", program}
		cmd.Env = append(os.Environ(), mark)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitSleepers(t, watch)
		if err := cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its error says how it ended
		if end == os.Interrupt && cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("after SIGINT it ended with %d", cmd.ProcessState.ExitCode())
		}
		reap := func() {
			for pid := 1; pid > 0; {
				pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil)
			}
		}
		_, differences, err := watch.Settle(t.Context(), before, reap)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range differences {
			t.Errorf("after %v: %v", end, d)
		}
		if root, err := cgroupRoot(); err == nil {
			if groups, _ := filepath.Glob(filepath.Join(root, "faultlab-*")); len(groups) > 0 {
				t.Errorf("after %v: control groups %q", end, groups)
			}
		}
	}
}

// sleepTimeout bounds how long stacks may take to come to be asked, or to be gone.
const sleepTimeout = 2 * time.Minute

// awaitSleepers waits until what is asked runs in all of the stacks.
func awaitSleepers(t *testing.T, watch leftovers.Watch) {
	t.Helper()
	want := 3
	if os.Geteuid() == 0 {
		want = 4
	}
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), sleepTimeout)
	defer cancel()
	for {
		processes, err := watch.Processes()
		if err != nil {
			t.Fatal(err)
		}
		asleep := 0
		for _, p := range processes {
			if p.Comm == "sleep" {
				asleep++
			}
		}
		if asleep >= want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d stacks came to be asked: %v", asleep, want, processes)
		case <-pause.C:
		}
	}
}
