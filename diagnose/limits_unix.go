//go:build unix

package diagnose

import (
	"os"

	"golang.org/x/sys/unix"
)

var readFileLimit = func() (fileLimit, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fileLimit{}, os.NewSyscallError("getrlimit", err)
	}
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fileLimit{}, err
	}
	return fileLimit{soft: uint64(limit.Cur), hard: uint64(limit.Max), open: uint64(len(open))}, nil
}
