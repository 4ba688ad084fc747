//go:build unix

package bench

import (
	"syscall"
	"time"
)

// childrenTime is the user and system time of processes that this one started and
// has waited for, with those that they have waited for (getrusage(2)).
func childrenTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
