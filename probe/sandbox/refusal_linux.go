package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// refusal makes what kept a worker from its namespaces a RefusedError that
// names the setting. Any other error it returns as it is.
func refusal(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case syscall.EOPNOTSUPP:
		return &RefusedError{Why: "the kernel has no veth", How: "load it with `modprobe veth`, or use a kernel with CONFIG_VETH", Err: errno}
	case syscall.EPERM, syscall.EACCES, syscall.ENOSPC, syscall.EINVAL, syscall.ENOSYS, syscall.EUSERS:
	default:
		return fmt.Errorf("start a sandbox: %w", err)
	}
	why, how := refuser()
	return &RefusedError{Why: why, How: how, Err: errno}
}

// refuser looks for what refuses namespaces to this user.
func refuser() (why, how string) {
	for _, s := range []struct{ name, refuses, allow string }{
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		{"user.max_user_namespaces", "0", "10000"},
		{"user.max_net_namespaces", "0", "10000"},
		{"user.max_mnt_namespaces", "0", "10000"},
		{"user.max_pid_namespaces", "0", "10000"},
	} {
		if value, err := sysctl.Read(s.name); err == nil && value == s.refuses {
			return s.name + " is " + value, fmt.Sprintf("allow them with `sysctl -w %s=%s`, or run as root", s.name, s.allow)
		}
	}
	if rights, err := process.Read(); err == nil && rights.Filtered {
		return "the process runs under a seccomp filter, as in most containers",
			"run it outside of the container, or give the container `--security-opt seccomp=unconfined` and `--cap-add SYS_ADMIN`"
	}
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		return "the kernel was built without user namespaces", "run as root, or use a kernel with CONFIG_USER_NS"
	}
	return "no setting that is known to refuse them does", "run as root"
}

// idsOfRoot is how many IDs root maps: what a distribution hands out.
const idsOfRoot = 1 << 16

// identities are the IDs of this user namespace that a new one may have.
type identities struct {
	user, group   int // the first of them
	users, groups int // how many follow it
}

// mappableIDs returns the process's own IDs, or for one that may map others
// (user_namespaces(7)) all from 0 on.
func mappableIDs() identities {
	own := identities{user: os.Geteuid(), group: os.Getegid(), users: 1, groups: 1}
	rights, err := process.Read()
	if err != nil || own.user != 0 || own.group != 0 || !rights.Effective.Has(process.SetUID) || !rights.Effective.Has(process.SetGID) {
		return own
	}
	return identities{users: mappedFromZero("/proc/self/uid_map"), groups: mappedFromZero("/proc/self/gid_map")}
}

// mappedFromZero counts the IDs from 0 on that exist in this user namespace.
func mappedFromZero(file string) int {
	f, err := os.Open(file)
	if err != nil {
		return 1
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[0] != "0" {
			continue
		}
		if size, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			return int(min(size, idsOfRoot))
		}
	}
	return 1
}
