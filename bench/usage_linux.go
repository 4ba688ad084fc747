package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// readUsage is what this process has used so far (getrusage(2)). Migrations are
// told by kernels that were built with CONFIG_SCHED_DEBUG alone.
func readUsage() usage {
	u := usage{Waiting: -1, Migrations: -1}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		u.Voluntary, u.Involuntary = r.Nvcsw, r.Nivcsw
	}
	if threads, err := counters.ReadThreads(); err == nil {
		u.Waiting = threads.Total().Waiting
	}
	files, _ := filepath.Glob("/proc/self/task/*/sched")
	for _, file := range files {
		if n, err := migrations(file); err == nil {
			u.Migrations = max(u.Migrations, 0) + n
		}
	}
	return u
}

func migrations(file string) (int64, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "se.nr_migrations" {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s tells of no migrations", file)
}
