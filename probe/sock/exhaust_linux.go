package sock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// WithoutDescriptors calls f while this process may open no descriptor more
// (RLIMIT_NOFILE, getrlimit(2)): the soft limit is the least number that is
// free. The limit is that of all threads, so this is for processes of one's
// own.
func WithoutDescriptors(f func() error) error {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		return fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	free, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("find a descriptor that is free: %w", err)
	}
	if err := unix.Close(free); err != nil {
		return err
	}
	none := unix.Rlimit{Cur: uint64(free), Max: before.Max}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &none, nil); err != nil {
		return fmt.Errorf("set RLIMIT_NOFILE to %d: %w", none.Cur, err)
	}
	err = f()
	if restoreErr := unix.Prlimit(0, unix.RLIMIT_NOFILE, &before, nil); restoreErr != nil {
		err = errors.Join(err, fmt.Errorf("set RLIMIT_NOFILE to %d again: %w", before.Cur, restoreErr))
	}
	return err
}
