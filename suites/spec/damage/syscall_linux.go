package damage

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/seccomp"
)

var syscallNumbers = map[string]uint32{"bind": unix.SYS_BIND, "connect": unix.SYS_CONNECT, "listen": unix.SYS_LISTEN}

// addressLength is the argument of bind(2) and connect(2) that holds it,
// counted from 0.
const addressLength = 2

// spoil makes the calls answer so in every thread of this process, for good.
func spoil(calls []Syscall) error {
	if len(calls) == 0 {
		return nil
	}
	var filter []bpf.Instruction
	// unless goes on with the next instruction or leaves out that many.
	unless := func(value uint32, leaveOut uint8) bpf.Instruction {
		return bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: leaveOut}
	}
	for _, c := range calls {
		number, known := syscallNumbers[c.Name]
		if !known {
			return fmt.Errorf("no system call %q can be damaged", c.Name)
		}
		if c.Length == 0 {
			filter = append(filter, seccomp.LoadNumber(), unless(number, 1), seccomp.Refuse(c.Errno))
			continue
		}
		filter = append(filter, seccomp.LoadNumber(), unless(number, 3),
			seccomp.LoadArgument(addressLength), unless(c.Length, 1), seccomp.Refuse(c.Errno))
	}
	return seccomp.Install(append(filter, seccomp.Allow())...)
}
