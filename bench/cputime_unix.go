//go:build unix

package bench

import (
	"syscall"
	"time"
)

// processTime is the user and system time this process has used, getrusage(2).
// It is zero where that cannot be read.
func processTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
