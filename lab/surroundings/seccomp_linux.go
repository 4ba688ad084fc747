package surroundings

import (
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/seccomp"
)

// RefuseUserNamespaces makes the kernel refuse user namespaces to this process
// and all it starts, as the seccomp filters of container runtimes do: clone(2)
// and unshare(2) with CLONE_NEWUSER fail with EPERM, and clone3(2), whose flags
// a filter cannot see, does not exist. It cannot be undone.
func RefuseUserNamespaces() error {
	return seccomp.Install(
		seccomp.LoadNumber(),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE3, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_UNSHARE, SkipTrue: 4},
		seccomp.LoadArgument(0),
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.CLONE_NEWUSER, SkipTrue: 2},
		seccomp.Refuse(syscall.EPERM),
		seccomp.Refuse(syscall.ENOSYS),
		seccomp.Allow(),
	)
}
