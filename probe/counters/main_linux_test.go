package counters

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// privateMark tells the tests that they run in a network namespace of their
// own, where nobody else opens sockets or sends packets.
const privateMark = "LOOPCHECK_TEST_COUNTERS_PRIVATE"

// loopbackDown is the exit code of a child that may have a namespace but do
// nothing in it, as AppArmor arranges on some systems.
const loopbackDown = 77

// notPrivate says why they do not, where they do not.
var notPrivate error

// TestMain runs the tests in a child with a network namespace of its own, and
// in this process where the system refuses one.
func TestMain(m *testing.M) {
	if os.Getenv(privateMark) == "" {
		var code int
		if code, notPrivate = runPrivately(); notPrivate == nil {
			os.Exit(code)
		}
	} else if err := upLoopback(); err != nil {
		fmt.Fprintln(os.Stderr, "counters:", err)
		os.Exit(loopbackDown)
	}
	os.Exit(m.Run())
}

// runPrivately tries a user namespace first, which needs no privileges.
func runPrivately() (code int, err error) {
	// The child is killed when the thread ends that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, flags := range []uintptr{syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, syscall.CLONE_NEWNET} {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Args[0] = os.Args[0]
		cmd.Env = append(os.Environ(), privateMark+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
		if flags&syscall.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		if startErr := cmd.Start(); startErr != nil {
			err = errors.Join(err, startErr)
			continue
		}
		if waitErr := cmd.Wait(); waitErr != nil && cmd.ProcessState.ExitCode() < 0 {
			fmt.Fprintln(os.Stderr, "counters:", waitErr)
			return 1, nil
		}
		if code := cmd.ProcessState.ExitCode(); code != loopbackDown {
			return code, nil
		}
		err = errors.Join(err, errors.New("its lo cannot be brought up"))
	}
	return 0, err
}

func upLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// alone skips a test that counts what nobody else may move.
func alone(t *testing.T) {
	t.Helper()
	if notPrivate != nil {
		t.Skipf("needs a network namespace of its own: %v", notPrivate)
	}
}
