package main

import (
	"cmp"
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
	"unshare": unix.SYS_UNSHARE, "mount": unix.SYS_MOUNT, "ptrace": unix.SYS_PTRACE, "bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN,
	"clone3": unix.SYS_CLONE3, "close_range": unix.SYS_CLOSE_RANGE, "openat2": unix.SYS_OPENAT2, "faccessat2": unix.SYS_FACCESSAT2,
	"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL,
	"mount_setattr": unix.SYS_MOUNT_SETATTR, "epoll_pwait2": unix.SYS_EPOLL_PWAIT2, "io_uring_setup": unix.SYS_IO_URING_SETUP,
}

// addressFamilies are those for which a fault may refuse sockets.
var addressFamilies = map[string]uint32{"inet6": unix.AF_INET6, "netlink": unix.AF_NETLINK, "packet": unix.AF_PACKET}

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

// refuse installs the filters, which answer as those of container runtimes do
// unless told otherwise.
func refuse(p faults.Process) error {
	answer := cmp.Or(p.Answer, syscall.EPERM)
	for _, name := range p.Refuse {
		number, known := calls[name]
		if !known {
			return fmt.Errorf("no system call %q is known here", name)
		}
		err := seccomp.Install(
			seccomp.LoadNumber(),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 1},
			seccomp.Refuse(answer),
			seccomp.Allow(),
		)
		if err != nil {
			return err
		}
	}
	if p.Family != "" {
		family, known := addressFamilies[p.Family]
		if !known {
			return fmt.Errorf("no address family %q is known here", p.Family)
		}
		if err := refuseSockets(answer, 0, family); err != nil {
			return err
		}
	}
	switch p.Type {
	case "":
	case "raw":
		// Of the two families that send packets; netlink's are of that type, too.
		return refuseSockets(answer, unix.SOCK_RAW, unix.AF_INET, unix.AF_INET6)
	default:
		return fmt.Errorf("no type of sockets %q is known here", p.Type)
	}
	return nil
}

// refuseSockets refuses socket(2) for some families, and of these for one type,
// or for all where it is 0.
func refuseSockets(answer syscall.Errno, kind uint32, families ...uint32) error {
	const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	for _, family := range families {
		program := []bpf.Instruction{
			seccomp.LoadNumber(),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: 6},
			seccomp.LoadArgument(0),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: family, SkipTrue: 4},
			seccomp.LoadArgument(1),
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: ^uint32(flags)},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: kind, SkipTrue: 1},
			seccomp.Refuse(answer),
			seccomp.Allow(),
		}
		if kind == 0 {
			program[6] = bpf.JumpIf{Cond: bpf.JumpEqual, Val: ^uint32(0), SkipTrue: 1}
		}
		if err := seccomp.Install(program...); err != nil {
			return err
		}
	}
	return nil
}
