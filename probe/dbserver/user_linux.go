package dbserver

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/process"
)

// nobody is whom the servers run as where there is a choice: PostgreSQL refuses
// to run as root, and wants a user that /etc/passwd knows.
const nobody = 65534

// switches says whether servers get the user ID of nobody, who exists here; else
// they run as the worker's own user.
func switches() bool {
	if held.facts.Plain || !held.facts.UserNamespace {
		return os.Geteuid() == 0
	}
	return held.facts.IDs > nobody
}

// own gives a file to the servers' user.
func own(path string) error {
	if !switches() {
		return nil
	}
	return os.Chown(path, nobody, nobody)
}

// attributes are those of a server's process: not root's, and dead with this one.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	switch {
	case switches():
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	case !held.facts.Plain:
		// The one user who exists here is root, who goes by another number in a
		// user namespace inside.
		a.Cloneflags = syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// privileges are what it takes to run servers as another user: to give files away
// and to write between them, and to end what runs.
const privileges = process.Capabilities(1<<process.Chown | 1<<process.DACOverride | 1<<process.Kill | 1<<process.SetUID | 1<<process.SetGID)

// maySwitch says why servers cannot get the user ID of nobody, if they are to and
// cannot.
func maySwitch() error {
	if !switches() {
		return nil
	}
	// Where /proc is another namespace's, the kernel's answers below have to do.
	if rights, err := process.Read(); err == nil && rights.Effective&privileges != privileges {
		return fmt.Errorf("root lacks %s", strings.Join((privileges&^rights.Effective).Names(), ", "))
	}
	// Where few users exist, he is none of them (user_namespaces(7)).
	return asNobody(func() error { return nil })
}

// asNobody runs f as a thread of the servers' user, which ends with it.
func asNobody(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := becomeNobody(); err != nil {
			result <- fmt.Errorf("become the user %d: %w", nobody, err)
			return
		}
		// It has taken this from the whole process.
		result <- errors.Join(f(), unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	}()
	return <-result
}

// becomeNobody is for this thread alone: it makes the system calls, of which the C
// library's functions are for all (setresuid(2), C library/kernel differences).
func becomeNobody() error {
	const same = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, same, nobody, same); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, nobody, same); errno != 0 {
		return errno
	}
	return nil
}
