package lab_test

import (
	"os"
	"syscall"
)

// maxResidentBytes is the largest resident set a process had (getrusage(2),
// which counts in KiB).
func maxResidentBytes(p *os.ProcessState) int64 {
	return p.SysUsage().(*syscall.Rusage).Maxrss * 1024
}
