package process

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/seccomp"
)

// filtered makes this test binary put itself under a filter and print what is
// refused.
const filtered = "LOOPCHECK_TEST_FILTERED"

func TestMain(m *testing.M) {
	if os.Getenv(filtered) != "" {
		err := seccomp.Install(
			seccomp.LoadNumber(),
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_LISTEN, SkipTrue: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: 4},
			seccomp.LoadArgument(0),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_INET6, SkipTrue: 2},
			seccomp.Refuse(syscall.EAFNOSUPPORT),
			seccomp.Refuse(syscall.EPERM),
			seccomp.Allow(),
		)
		status, _ := Read()
		fmt.Println(err, status.Filtered, status.Filters > 0, Refusals())
		os.Exit(0)
	}
	m.Run()
}

func TestNothingIsRefusedWithoutAFilter(t *testing.T) {
	if s, err := Read(); err != nil || s.Filtered {
		t.Skip("this process is under a filter itself")
	}
	if refused := Refusals(); len(refused) > 0 {
		t.Errorf("refused: %+v", refused)
	}
}

func TestCallsThatAFilterRefuses(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), filtered+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "<nil> true true [{listen operation not permitted bad file descriptor} {socket inet6 address family not supported by protocol invalid argument}]"
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
