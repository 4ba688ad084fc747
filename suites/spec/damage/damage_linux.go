package damage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// orderVar holds the order for the child, in its environment.
const orderVar = "LOOPCHECK_TEST_DAMAGE"

// resultFD is where the child finds its end of the pipe: the first descriptor
// after the standard three.
const resultFD = 3

// deadline bounds one child. The specs have bounds of their own; this one
// catches a setup command that hangs.
const deadline = 2 * time.Minute

// seed makes checks that choose at random choose the same each time.
const seed = 1

type order struct {
	Setup     []string  `json:"setup"`
	Sandboxes []string  `json:"sandboxes"`
	Filter    string    `json:"filter"`
	Syscalls  []Syscall `json:"syscalls"`
}

type result struct {
	// Refused says why the namespace cannot be set up here at all.
	Refused string `json:"refused,omitempty"`
	// Broken says which setup command failed, and how.
	Broken   string             `json:"broken,omitempty"`
	Outcomes map[string]Outcome `json:"outcomes"`
}

func outcomes(t *testing.T, c Case) (found map[string]Outcome, taken float64) {
	t.Helper()
	if text, isChild := os.LookupEnv(orderVar); isChild {
		if c.Inside != nil {
			c.Inside()
		}
		serve(t, text)
	}
	for _, command := range slices.Concat(c.Setup, c.Sandboxes) {
		if program, _, _ := strings.Cut(command, " "); program != "" {
			if err := exec.Command("sh", "-c", "command -v "+program).Run(); err != nil {
				t.Skipf("the damage needs %s, which is not installed here", program)
			}
		}
	}
	r, taken := ask(t, order{Setup: c.Setup, Sandboxes: c.Sandboxes, Filter: c.Filter, Syscalls: c.Syscalls})
	switch {
	case r.Refused != "":
		t.Skip(r.Refused)
	case r.Broken != "":
		t.Fatal(r.Broken)
	}
	return r.Outcomes, taken
}

// ask starts this test once more in namespaces of its own and reads what it
// found there, and which share of the processors others had meanwhile: all that
// was neither idle nor used by the test and what it waited for (getrusage(2)).
func ask(t *testing.T, o order) (r result, taken float64) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatalf("encode the damage: %v", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatalf("open a pipe for the result: %v", err)
	}
	defer read.Close()

	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	child := exec.CommandContext(ctx, "/proc/self/exe", "-test.run="+pattern(t.Name()), "-test.count=1")
	child.Env = append(os.Environ(), orderVar+"="+string(text))
	child.ExtraFiles = []*os.File{write}
	var output bytes.Buffer
	child.Stdout, child.Stderr = &output, &output
	child.SysProcAttr = &syscall.SysProcAttr{
		// What is mounted in a mount namespace that belongs to another user
		// namespace stays in it (mount_namespaces(7), restrictions).
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	// The kernel sends Pdeathsig when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, beganAt := processors(t), time.Now()
	err = child.Start()
	write.Close()
	if err != nil {
		t.Skipf("a private network namespace is refused here (%v): allow it with `sysctl -w user.max_user_namespaces=10000`, `sysctl -w kernel.unprivileged_userns_clone=1` or `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`", err)
	}
	decodeErr := json.NewDecoder(read).Decode(&r)
	// The child ends with the verdict of its specs, which are meant to fail.
	waitErr := child.Wait()
	if decodeErr != nil {
		t.Fatalf("the damaged run ended without a result (%v, %v):\n%s", decodeErr, waitErr, output.String())
	}
	others := processors(t) - before - child.ProcessState.UserTime() - child.ProcessState.SystemTime()
	return r, others.Seconds() / (time.Since(beganAt).Seconds() * float64(runtime.NumCPU()))
}

// processors is how long the machine's processors have been used or kept by the
// hypervisor, added up. What interrupts took counts: getrusage has it in the time of
// the process that they came to.
func processors(t *testing.T) (busy time.Duration) {
	t.Helper()
	perCPU, err := counters.ReadPerCPU()
	if err != nil {
		t.Fatalf("read what the processors did: %v", err)
	}
	for _, one := range perCPU {
		busy += one.User + one.Nice + one.System + one.IRQ + one.SoftIRQ + one.Steal
	}
	return busy
}

// pattern selects exactly the named test or subtest.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// serve is the child's side. It does not return.
func serve(t *testing.T, text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintf(os.Stderr, "decode the damage: %v\n", err)
		os.Exit(1)
	}
	syscall.CloseOnExec(resultFD)
	r := suffer(t, o)
	if err := json.NewEncoder(os.NewFile(resultFD, "result")).Encode(r); err != nil {
		fmt.Fprintf(os.Stderr, "send the result: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// suffer applies the damage and runs the specs in it.
func suffer(t *testing.T, o order) result {
	if err := iface.Raise("lo"); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return result{Refused: fmt.Sprintf("a private namespace gives no rights here (%v): allow it with `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`", err)}
		}
		return result{Broken: err.Error()}
	}
	for _, command := range o.Setup {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			return result{Broken: fmt.Sprintf("setup command %q: %v: %s", command, err, out)}
		}
	}
	sandbox.Damage(o.Sandboxes...)
	if err := spoil(o.Syscalls); err != nil {
		return result{Broken: err.Error()}
	}

	r := result{Outcomes: map[string]Outcome{}}
	ginkgo.ReportAfterSuite("collect the outcomes", func(report types.Report) {
		for _, s := range report.SpecReports {
			if id := checkID(s); id != "" && s.NumAttempts > 0 {
				r.Outcomes[id] = outcomeOf(id, s)
			}
		}
	})
	suiteConfig, reporterConfig := ginkgo.GinkgoConfiguration()
	suiteConfig.LabelFilter = o.Filter
	suiteConfig.RandomSeed = seed
	reporterConfig.NoColor = true
	ginkgo.RunSpecs(t, "damaged", suiteConfig, reporterConfig)
	return r
}

func checkID(s types.SpecReport) string {
	for _, label := range s.Labels() {
		if _, known := check.Lookup(label); known {
			return label
		}
	}
	return ""
}

func outcomeOf(id string, s types.SpecReport) Outcome {
	o := Outcome{State: check.Pass, Message: s.Failure.Message}
	switch {
	case s.State.Is(types.SpecStateFailureStates):
		c, _ := check.Lookup(id)
		o.State = c.Grade.Broken()
	case s.State.Is(types.SpecStateSkipped):
		o.State = check.Skip
		for _, entry := range s.ReportEntries {
			if _, unreliable := entry.GetRawValue().(check.Unreliable); unreliable {
				o.State = check.Inconclusive
			}
		}
	}
	return o
}
