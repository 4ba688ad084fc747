package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/probe/seccomp"
)

// stageName is the argv[0] by which this program puts a process under
// restrictions that no other program does: with faults.Process as JSON, the
// path of the command and its arguments.
const stageName = "faultlab-stage"

// calls are the system calls that a fault may refuse.
var calls = map[string]uint32{
	"connect": unix.SYS_CONNECT, "bind": unix.SYS_BIND, "listen": unix.SYS_LISTEN,
	"accept": unix.SYS_ACCEPT, "accept4": unix.SYS_ACCEPT4, "setsockopt": unix.SYS_SETSOCKOPT, "sendto": unix.SYS_SENDTO, "sendmsg": unix.SYS_SENDMSG,
}

// addressFamilies are those for which a fault may refuse sockets.
var addressFamilies = map[string]uint32{"inet6": unix.AF_INET6, "netlink": unix.AF_NETLINK}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain data
	}
	return string(text)
}

// stageMain executes the command. It returns only where that fails.
func stageMain(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%s is started by faultlab alone", stageName)
	}
	var p faults.Process
	if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := refuse(p); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", args[1], syscall.Exec(args[1], args[1:], os.Environ()))
}

// refuse installs the filters, which answer with EPERM as those of container
// runtimes do.
func refuse(p faults.Process) error {
	for _, name := range p.Refuse {
		number, known := calls[name]
		if !known {
			return fmt.Errorf("no system call %q is known here", name)
		}
		err := seccomp.Install(
			seccomp.LoadNumber(),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 1},
			seccomp.Refuse(syscall.EPERM),
			seccomp.Allow(),
		)
		if err != nil {
			return err
		}
	}
	if p.Family == "" {
		return nil
	}
	family, known := addressFamilies[p.Family]
	if !known {
		return fmt.Errorf("no address family %q is known here", p.Family)
	}
	return seccomp.Install(
		seccomp.LoadNumber(),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: 3},
		seccomp.LoadArgument(0),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: family, SkipTrue: 1},
		seccomp.Refuse(syscall.EPERM),
		seccomp.Allow(),
	)
}
