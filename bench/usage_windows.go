package bench

import (
	"syscall"
	"time"
)

// readUsage is the user and kernel time this process has used, by
// GetProcessTimes.
func readUsage() usage { return usage{CPU: processTime(), Waiting: -1, Migrations: -1} }

func processTime() time.Duration {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0
	}
	var created, exited, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(self, &created, &exited, &kernel, &user) != nil {
		return 0
	}
	return amount(kernel) + amount(user)
}

// amount reads a duration: here a Filetime counts 100 ns steps from zero, not
// from the epoch that its own Nanoseconds method takes off.
func amount(f syscall.Filetime) time.Duration {
	return time.Duration(uint64(f.HighDateTime)<<32|uint64(f.LowDateTime)) * 100
}
