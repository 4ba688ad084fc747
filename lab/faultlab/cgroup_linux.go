package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/probe/iface"
)

// A program of a control group belongs to the machine, and user namespaces may
// not load one. So what is asked with it runs as real root: in network, mount
// and PID namespaces all the same, and in a control group that is removed with
// the process that made it.

// childName is the argv[0] of the process that runs a trial as real root.
const childName = "faultlab-child"

var attachments = map[string]struct {
	kind ebpf.ProgramType
	at   ebpf.AttachType
}{
	"bind4":       {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Bind},
	"connect4":    {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect},
	"sendmsg4":    {ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP4Sendmsg},
	"egress":      {ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress},
	"bind6":       {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Bind},
	"connect6":    {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect},
	"ingress":     {ebpf.CGroupSKB, ebpf.AttachCGroupInetIngress},
	"sock_create": {ebpf.CGroupSock, ebpf.AttachCGroupInetSockCreate},
	"setsockopt":  {ebpf.CGroupSockopt, ebpf.AttachCGroupSetsockopt},
}

// tryAsRoot runs a trial as real root, in a control group with a program
// attached where the trial is about one.
func tryAsRoot(ctx context.Context, t trial) (o observation, failed error) {
	attributes := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	if t.Machine.Cgroup != nil {
		group, remove, err := makeCgroup(*t.Machine.Cgroup)
		if err != nil {
			return o, err
		}
		defer func() { failed = errors.Join(failed, remove()) }()
		attributes.UseCgroupFD, attributes.CgroupFD = true, int(group.Fd())
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	cmd.Stdin = strings.NewReader(encode(t))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = attributes
	// The death signal comes when the thread ends that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return o, fmt.Errorf("%w: %s", err, last(errs.String()))
	}
	return o, json.Unmarshal(out.Bytes(), &o)
}

// childMain is the other end of tryAsRoot: the first process of its namespaces.
func childMain() error {
	var t trial
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return err
	}
	if err := mountPrivately(); err != nil {
		return err
	}
	for _, m := range []struct{ kind, path string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"cgroup2", "/sys/fs/cgroup"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m.kind, m.path, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.path, err)
		}
	}
	if err := iface.Raise("lo"); err != nil {
		return err
	}
	o, err := t.run(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// makeCgroup makes a control group with the program attached, that goes with
// this process, however it ends: a shell waits for the end of a pipe and
// removes it.
func makeCgroup(c faults.Cgroup) (group *os.File, remove func() error, err error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, nil, err
	}
	path, err := os.MkdirTemp(root, "faultlab-")
	if err != nil {
		return nil, nil, err
	}
	// A process group of its own, so that Ctrl-C leaves it to its work.
	janitor := exec.Command("sh", "-c", `read -r _; until rmdir "$0" 2>/dev/null; do [ -d "$0" ] || exit 0; echo 1 >"$0/cgroup.kill"; sleep 0.05; done`, path)
	janitor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := janitor.StdinPipe()
	if err == nil {
		err = janitor.Start()
	}
	if err != nil {
		return nil, nil, errors.Join(err, os.Remove(path))
	}
	sweep := func() error { return errors.Join(pipe.Close(), janitor.Wait()) }
	if group, err = os.Open(path); err == nil {
		err = attach(group, c)
	}
	if err != nil {
		return nil, nil, errors.Join(err, sweep())
	}
	return group, func() error { return errors.Join(group.Close(), sweep()) }, nil
}

// cgroupRoot is where the control groups of version 2 are mounted.
func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		for i, field := range fields {
			if field == "-" && i+1 < len(fields) && fields[i+1] == "cgroup2" {
				return filepath.Clean(fields[4]), nil
			}
		}
	}
	return "", errors.New("no file system of type cgroup2 is mounted")
}

// attach loads a program that says no, and puts it on the group. It lasts as
// long as the group, or until it is detached by somebody else.
func attach(group *os.File, c faults.Cgroup) error {
	a, known := attachments[c.Attach]
	if !known {
		return fmt.Errorf("no attachment %q is known", c.Attach)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "faultlab_no", Type: a.kind, AttachType: a.at, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("load a BPF program: %w", err)
	}
	defer program.Close()
	options := link.RawAttachProgramOptions{Target: int(group.Fd()), Program: program, Attach: a.at}
	if err := link.RawAttachProgram(options); err != nil {
		return fmt.Errorf("attach a BPF program: %w", err)
	}
	return nil
}
