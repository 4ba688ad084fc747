package damage

import (
	"fmt"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/seccomp"
)

var syscallNumbers = map[string]uint32{
	"bind": unix.SYS_BIND, "connect": unix.SYS_CONNECT, "listen": unix.SYS_LISTEN,
	"socket": unix.SYS_SOCKET, "socketpair": unix.SYS_SOCKETPAIR,
	"setsockopt": unix.SYS_SETSOCKOPT, "getsockopt": unix.SYS_GETSOCKOPT, "sendmsg": unix.SYS_SENDMSG,
	"recvfrom": unix.SYS_RECVFROM, "recvmsg": unix.SYS_RECVMSG, "ioctl": unix.SYS_IOCTL, "sendfile": unix.SYS_SENDFILE,
	"shutdown": unix.SYS_SHUTDOWN,
}

// addressLength is the argument of bind(2) and connect(2) that holds it,
// counted from 0.
const addressLength = 2

// spoil makes the calls answer so in every thread of this process, for good.
func spoil(calls []Syscall) error {
	if len(calls) == 0 {
		return nil
	}
	var filter []bpf.Instruction
	for _, c := range calls {
		number, known := syscallNumbers[c.Name]
		if !known {
			return fmt.Errorf("no system call %q can be damaged", c.Name)
		}
		arguments := c.Arguments
		if c.Length != 0 {
			arguments = map[int]uint32{addressLength: c.Length}
		}
		filter = append(filter, answer(number, arguments, c.Errno)...)
	}
	return seccomp.Install(append(filter, seccomp.Allow())...)
}

// answer is the part of a filter that answers one kind of call and lets every
// other go on to the next part.
func answer(number uint32, arguments map[int]uint32, errno syscall.Errno) []bpf.Instruction {
	left := 2*len(arguments) + 1 // instructions that are left out where one does not match
	unless := func(value uint32) bpf.Instruction {
		return bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: uint8(left)}
	}
	part := []bpf.Instruction{seccomp.LoadNumber(), unless(number)}
	for i, value := range arguments {
		left -= 2
		part = append(part, seccomp.LoadArgument(uint32(i)), unless(value))
	}
	return append(part, seccomp.Refuse(errno))
}
