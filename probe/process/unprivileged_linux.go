package process

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Unprivileged runs f as a thread that has no capability, whoever the process
// belongs to, and gives the thread its capabilities back (capset(2)). F has to
// stay on its goroutine.
func Unprivileged(f func() error) error {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	// Version 3 has 64 capabilities, in two structures.
	var before [2]unix.CapUserData
	if err := unix.Capget(&header, &before[0]); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("read the capabilities of a thread: %w", err)
	}
	if before[0].Effective == 0 && before[1].Effective == 0 {
		defer runtime.UnlockOSThread()
		return f()
	}
	without := before
	for i := range without {
		without[i].Effective = 0
	}
	if err := unix.Capset(&header, &without[0]); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("drop the capabilities of a thread: %w", err)
	}
	err := f()
	if back := unix.Capset(&header, &before[0]); back != nil {
		// Locked to its goroutine, the thread ends with it.
		return errors.Join(err, fmt.Errorf("give a thread its capabilities back: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
