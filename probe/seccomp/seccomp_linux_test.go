package seccomp

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// playFiltered makes the test binary install a filter and try it.
const playFiltered = "seccomp-filtered"

func TestMain(m *testing.M) {
	if os.Args[0] == playFiltered {
		os.Exit(filtered())
	}
	m.Run()
}

// filtered is 0 where kill(2) is refused with signal 63 alone.
func filtered() int {
	err := Install(
		LoadNumber(),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_KILL, SkipTrue: 3},
		LoadArgument(1),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 63, SkipTrue: 1},
		Refuse(syscall.EXDEV),
		Allow(),
	)
	if err != nil || !errors.Is(unix.Kill(os.Getpid(), 63), unix.EXDEV) || unix.Kill(os.Getpid(), 0) != nil {
		return 1
	}
	return 0
}

func TestAFilterAnswersTheCallsItPicks(t *testing.T) {
	command := exec.Command("/proc/self/exe")
	command.Args = []string{playFiltered}
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
