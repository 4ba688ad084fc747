package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/surroundings"
	"github.com/loopcheck/loopcheck/probe/iface"
)

// The stage is soak itself, started again in the child: it prepares what the
// variant is about and then executes the command in its place, or, as a hog,
// keeps a CPU busy. The parent learns of it by descriptor 3, which says what
// failed, or ends without a word once the stage is set.

// stageName is the argv[0] that starts the stage.
const stageName = "soak-stage"

// stageReportFD is the descriptor that the stage reports on.
const stageReportFD = 3

// hogStep in place of steps makes the stage a hog; its argument is a CPU.
const hogStep = "hog"

const (
	stepNothing  = "nothing"
	stepLoUp     = "lo-up"
	stepNoIPv6   = "no-ipv6"
	stepNoNetRaw = "no-net-raw"
	stepNoFile   = "nofile"
	stepNoUserNS = "no-userns"
)

var stageSteps = map[string]func() error{
	stepNothing:  func() error { return nil },
	stepLoUp:     func() error { return iface.Raise("lo") },
	stepNoIPv6:   disableIPv6,
	stepNoNetRaw: dropNetRaw,
	stepNoFile:   limitOpenFiles,
	stepNoUserNS: surroundings.RefuseUserNamespaces,
}

// stageMain runs the stage with the arguments STEP[,STEP…] COMMAND [ARGUMENT…].
// It returns only if that failed, or never as a hog.
func stageMain(args []string) {
	// Capabilities are a thread's own: the one that gives them up has to be the
	// one that executes the command.
	runtime.LockOSThread()
	unix.CloseOnExec(stageReportFD)
	report := os.NewFile(stageReportFD, "stage report")
	err := setStage(report, args)
	fmt.Fprint(report, err)
}

func setStage(report *os.File, args []string) error {
	if len(args) < 2 {
		return errors.New("the stage is set by soak alone")
	}
	if args[0] == hogStep {
		return hog(report, args[1])
	}
	for name := range strings.SplitSeq(args[0], ",") {
		step, ok := stageSteps[name]
		if !ok {
			return fmt.Errorf("no such step: %q", name)
		}
		if err := step(); err != nil {
			return err
		}
	}
	err := syscall.Exec(args[1], args[1:], os.Environ())
	return fmt.Errorf("execute %s: %w", args[1], err)
}

// disableIPv6 turns IPv6 off in the network namespace of the stage. A kernel
// without it needs nothing done.
func disableIPv6() error {
	for _, name := range []string{"all", "default", "lo"} {
		path := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
		err := os.WriteFile(path, []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("disable IPv6: %w", err)
		}
	}
	return nil
}

// dropNetRaw takes CAP_NET_RAW out of the sets that root's capabilities are
// computed from when a program is executed: see capabilities(7).
func dropNetRaw() error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_RAW, 0, 0, 0); err != nil {
		return fmt.Errorf("drop CAP_NET_RAW from the bounding set: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	for i := range sets {
		sets[i].Inheritable = 0
	}
	sets[0].Permitted &^= 1 << unix.CAP_NET_RAW
	sets[0].Effective &^= 1 << unix.CAP_NET_RAW
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("drop CAP_NET_RAW: %w", err)
	}
	return nil
}

// openFileLimit is low enough for a program that opens many sockets at once to
// meet it, and what macOS gives a shell.
const openFileLimit = 256

// limitOpenFiles sets the limit by the syscall package, which otherwise puts the
// limit that soak was started with back when it executes the command.
func limitOpenFiles() error {
	limit := syscall.Rlimit{Cur: openFileLimit, Max: openFileLimit}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit open files to %d: %w", openFileLimit, err)
	}
	return nil
}

// hog keeps a CPU busy until it is killed.
func hog(report *os.File, cpu string) error {
	n, err := strconv.Atoi(cpu)
	if err != nil {
		return fmt.Errorf("CPU %q: %w", cpu, err)
	}
	var set unix.CPUSet
	set.Set(n)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", n, err)
	}
	report.Close()
	for turn := 0; ; turn++ {
	}
}
