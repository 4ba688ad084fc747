package damage

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

var syscallNumbers = map[string]uint32{"bind": unix.SYS_BIND, "connect": unix.SYS_CONNECT, "listen": unix.SYS_LISTEN}

// Where seccomp_data has the call's number and the low half of its third
// argument (include/uapi/linux/seccomp.h).
const (
	numberAt = 0
	thirdAt  = 16 + 2*8
)

// spoil makes the calls answer so in every thread of this process, for good
// (seccomp(2)). It takes CAP_SYS_ADMIN in the process' user namespace.
func spoil(calls []Syscall) error {
	if len(calls) == 0 {
		return nil
	}
	filter, err := seccompFilter(calls)
	if err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("install a seccomp filter: %w", errno)
	}
	return nil
}

func seccompFilter(calls []Syscall) ([]unix.SockFilter, error) {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	// unless goes on with the next instruction or leaves out that many more.
	unless := func(value uint32, leaveOut uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: leaveOut, K: value}
	}
	answer := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	var filter []unix.SockFilter
	for _, c := range calls {
		number, known := syscallNumbers[c.Name]
		if !known {
			return nil, fmt.Errorf("no system call %q can be damaged", c.Name)
		}
		refuse := answer(unix.SECCOMP_RET_ERRNO | uint32(c.Errno)&unix.SECCOMP_RET_DATA)
		if c.Length == 0 {
			filter = append(filter, load(numberAt), unless(number, 1), refuse)
			continue
		}
		filter = append(filter, load(numberAt), unless(number, 3), load(lowHalf(thirdAt)), unless(c.Length, 1), refuse)
	}
	return append(filter, answer(unix.SECCOMP_RET_ALLOW)), nil
}

// lowHalf is where the low half of a number of 64 bits lies.
func lowHalf(offset uint32) uint32 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return offset
	}
	return offset + 4
}
