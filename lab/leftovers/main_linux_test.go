package leftovers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays the commands that leave things behind. Every process it
// starts ends when its standard input is closed, and so with the tests.
const (
	playHolder = "leftovers-holder" // waits for the end of its input
	playParent = "leftovers-parent" // starts a holder, prints its PID and ends
)

// insideVariable is set in the tests that run in a private namespace.
const insideVariable = "LEFTOVERS_TEST_INSIDE"

// takeDeadline bounds a snapshot in a test, far beyond what one takes.
const takeDeadline = time.Minute

// The main goroutine keeps the first thread, which Go cannot end: a test that
// takes a thread into a namespace must not be given that one.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	switch os.Args[0] {
	case playHolder:
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case playParent:
		holder := exec.Command("/proc/self/exe")
		holder.Args = []string{playHolder}
		holder.Stdin = os.Stdin
		if err := holder.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(holder.Process.Pid)
		os.Exit(0)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become a child subreaper:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func take(t *testing.T, w Watch) Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), takeDeadline)
	defer cancel()
	s, err := w.Take(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func settle(t *testing.T, w Watch, before Snapshot) []Difference {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), takeDeadline)
	defer cancel()
	_, differences, err := w.Settle(ctx, before, nil)
	if err != nil {
		t.Fatal(err)
	}
	return differences
}

// want is a difference that has to be found, its name by a part of it.
type want struct {
	kind   Kind
	change Change
	part   string
}

// mustFind fails the test unless every wanted difference is there, and unless
// the others are of the kinds that are wanted too: a new link brings addresses
// and sysctls, but no file.
func mustFind(t *testing.T, got []Difference, wanted ...want) {
	t.Helper()
	kinds := map[Kind]bool{}
	for _, w := range wanted {
		kinds[w.kind] = true
		found := false
		for _, d := range got {
			found = found || d.Kind == w.kind && d.Change == w.change && strings.Contains(d.String(), w.part)
		}
		if !found {
			t.Errorf("%s %s with %q is not among %q", w.kind, w.change, w.part, lines(got))
		}
	}
	for _, d := range got {
		if !kinds[d.Kind] {
			t.Errorf("nobody planted this: %s", d)
		}
	}
}

func mustBeClean(t *testing.T, got []Difference) {
	t.Helper()
	for _, d := range got {
		t.Errorf("nobody planted this: %s", d)
	}
}

// start runs the test binary in a role, with attributes. It ends with the test.
func start(t *testing.T, role string, attributes *syscall.SysProcAttr, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{role}
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = attributes
	cmd.Dir = "/"
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		in.Close()
		skipRefused(t, err)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // an error only if the test waited already
	})
	return cmd, &stdout
}

func skipRefused(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("user namespaces are refused here (%v): see user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns", err)
	}
}

// inPrivateNamespaces runs the calling test again in user, network, mount and
// IPC namespaces of its own, and says whether this is that second run.
func inPrivateNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	// The child is killed when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.Process == nil {
		skipRefused(t, err)
	}
	t.Logf("in private namespaces:\n%s", out)
	switch {
	case err != nil:
		t.Errorf("the run in private namespaces failed: %v", err)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skip("skipped in private namespaces, see above")
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Error("the run in private namespaces did not run this test")
	}
	return false
}

// run starts a tool that plants something; a machine without it skips.
func run(t *testing.T, tool string, args ...string) {
	t.Helper()
	path, err := findTool(tool)
	if err != nil {
		t.Skipf("%s is not installed", tool)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", tool, strings.Join(args, " "), err, out)
	}
}
