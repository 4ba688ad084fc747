//go:build unix && !linux

package bench

import (
	"syscall"
	"time"
)

// readUsage is what this process has used so far, getrusage(2).
func readUsage() usage {
	u := usage{Waiting: -1, Migrations: -1}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		u.Voluntary, u.Involuntary = int64(r.Nvcsw), int64(r.Nivcsw)
	}
	return u
}
