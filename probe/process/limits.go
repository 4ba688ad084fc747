package process

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Refusal is a system call that is answered in the kernel's place.
type Refusal struct {
	// Call is its name, of socket(2) with the address family: "connect",
	// "socket inet6".
	Call string
	// Errno is what came back, and Right what the kernel would have said.
	Errno, Right syscall.Errno
}

// Names of limits, as proc_pid_limits(5) has them.
const (
	MaxOpenFiles    = "Max open files"
	MaxProcesses    = "Max processes"
	MaxLockedMemory = "Max locked memory"
)

// Unlimited is the value of a limit that is none.
const Unlimited = math.MaxUint64

// Limit is a limit of a process (getrlimit(2)), of which the soft one holds.
type Limit struct{ Soft, Hard uint64 }

// ParseLimits reads a limits file. Lines that are malformed are left out.
func ParseLimits(text string) map[string]Limit {
	limits := map[string]Limit{}
	for line := range strings.Lines(text) {
		for _, name := range []string{MaxOpenFiles, MaxProcesses, MaxLockedMemory} {
			rest, is := strings.CutPrefix(line, name)
			fields := strings.Fields(rest)
			if !is || len(fields) < 2 {
				continue
			}
			soft, softErr := parseLimit(fields[0])
			hard, hardErr := parseLimit(fields[1])
			if softErr == nil && hardErr == nil {
				limits[name] = Limit{soft, hard}
			}
		}
	}
	return limits
}

func parseLimit(text string) (uint64, error) {
	if text == "unlimited" {
		return Unlimited, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// ReadLimits returns the limits of this process by their names. The error wraps
// fs.ErrNotExist on systems without Linux's /proc.
func ReadLimits() (map[string]Limit, error) {
	text, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return nil, fmt.Errorf("read the limits of this process: %w", err)
	}
	return ParseLimits(string(text)), nil
}

// InheritedFiles returns the limit of open files that this process was started
// with. Its own is another: Go raises the soft one to the hard one when a
// program starts, and gives its children what it found (package os, since Go
// 1.21). It asks a child, a shell.
func InheritedFiles(ctx context.Context) (Limit, error) {
	out, err := exec.CommandContext(ctx, "sh", "-c", "ulimit -Sn && ulimit -Hn").Output()
	if err != nil {
		return Limit{}, fmt.Errorf("ask a shell for its limit of open files: %w", err)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		return Limit{}, fmt.Errorf("ask a shell for its limit of open files: it said %q", out)
	}
	soft, err := parseLimit(fields[0])
	if err != nil {
		return Limit{}, err
	}
	hard, err := parseLimit(fields[1])
	return Limit{soft, hard}, err
}
