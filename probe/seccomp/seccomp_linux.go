// Package seccomp makes the kernel answer system calls of this process itself,
// for tests that want to see what becomes of a program where calls are refused,
// as in containers and on stacks in user space.
//
// Source: seccomp(2), include/uapi/linux/seccomp.h.
package seccomp

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// LoadNumber loads the number of the system call.
func LoadNumber() bpf.Instruction { return bpf.LoadAbsolute{Off: 0, Size: 4} }

// LoadArgument loads the low 32 bits of an argument, counted from 0.
func LoadArgument(n uint32) bpf.Instruction {
	offset := 16 + 8*n
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		offset += 4
	}
	return bpf.LoadAbsolute{Off: offset, Size: 4}
}

// Refuse answers the call with an errno; 0 says that it succeeded.
func Refuse(errno syscall.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)&unix.SECCOMP_RET_DATA}
}

// Allow lets the call be made.
func Allow() bpf.Instruction { return bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW} }

// Install puts a filter into force in every thread of this process, and in all
// that it starts. It cannot be undone. No program that is started may gain
// privileges any more (prctl(2), PR_SET_NO_NEW_PRIVS), since without
// CAP_SYS_ADMIN the kernel asks for that.
func Install(program ...bpf.Instruction) error {
	assembled, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("assemble a seccomp filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(assembled))
	for i, in := range assembled {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	loaded := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&loaded)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("install a seccomp filter: %w", errno)
	}
	return nil
}
