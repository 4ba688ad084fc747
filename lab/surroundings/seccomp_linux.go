package surroundings

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (seccomp(2)); of an argument, which has 64
// bits, the half that holds the flags.
const (
	offsetNumber    = 0
	offsetFirstArg  = 16
	offsetFirstArgB = 20 // on a big-endian machine
)

// RefuseUserNamespaces makes the kernel refuse user namespaces to this process
// and all it starts, as the seccomp filters of container runtimes do: clone(2)
// and unshare(2) with CLONE_NEWUSER fail with EPERM, and clone3(2), whose flags
// a filter cannot see, does not exist. It cannot be undone.
func RefuseUserNamespaces() error {
	flags := uint32(offsetFirstArg)
	if bigEndian() {
		flags = offsetFirstArgB
	}
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE3, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_UNSHARE, SkipTrue: 4},
		bpf.LoadAbsolute{Off: flags, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.CLONE_NEWUSER, SkipTrue: 2},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		return fmt.Errorf("assemble a seccomp filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	// Without CAP_SYS_ADMIN a filter asks for this.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	loaded := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&loaded)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("load a seccomp filter: %w", errno)
	}
	return nil
}

func bigEndian() bool {
	one := uint32(1)
	return *(*byte)(unsafe.Pointer(&one)) == 0
}
