package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ownerLabel marks what sessions make. Its value is the owner.
const ownerLabel = "loopcheck.owner"

// owner is a process, told from every other one that had or will have its number.
type owner struct {
	boot      string // /proc/sys/kernel/random/boot_id
	namespace string // of process numbers, such as "pid:[4026531836]"
	pid       int
	start     string // in clock ticks after boot (proc_pid_stat(5), field 22)
}

// String is what parseOwner reads, in characters that every shell and engine takes.
func (o owner) String() string {
	return fmt.Sprintf("%s_%s_%d_%s", o.boot, strings.Trim(o.namespace, "pid:[]"), o.pid, o.start)
}

// parseOwner reads what String wrote.
func parseOwner(text string) (owner, error) {
	parts := strings.Split(text, "_")
	if len(parts) != 4 || parts[0] == "" || parts[1] == "" || parts[3] == "" {
		return owner{}, fmt.Errorf("%q names no process", text)
	}
	pid, err := strconv.Atoi(parts[2])
	if err != nil || pid <= 0 {
		return owner{}, fmt.Errorf("%q names no process", text)
	}
	return owner{boot: parts[0], namespace: "pid:[" + parts[1] + "]", pid: pid, start: parts[3]}, nil
}

// self is this process.
func self() (owner, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return owner{}, fmt.Errorf("tell this process from others: %w", err)
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return owner{}, fmt.Errorf("tell this process from others: %w", err)
	}
	start, err := startOf(os.Getpid())
	if err != nil {
		return owner{}, fmt.Errorf("tell this process from others: %w", err)
	}
	return owner{boot: strings.TrimSpace(string(boot)), namespace: namespace, pid: os.Getpid(), start: start}, nil
}

// startOf is when a process started.
func startOf(pid int) (string, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	// The name before the last parenthesis may hold anything; the state follows.
	const state, start = 3, 22
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= start-state {
		return "", fmt.Errorf("%s: %d fields after the name", path, len(fields))
	}
	return fields[start-state], nil
}

// outlived says whether another process is gone for certain. One that this process
// cannot see, as from another container, may still run.
func (o owner) outlived(other owner) bool {
	if other.boot != o.boot {
		return true
	}
	if other.namespace != o.namespace {
		return false
	}
	if !alive(other.pid) {
		return true
	}
	start, err := startOf(other.pid)
	return err == nil && start != other.start
}
