package sock

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Undisturbed calls f in a thread that no signal interrupts meanwhile. Go sends
// signals to its own threads, and a call that has begun to read returns for one
// with what it has (signal(7), recv(2)).
func Undisturbed(f func() error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &before); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	defer func() {
		if restored := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); restored != nil {
			err = errors.Join(err, fmt.Errorf("let signals through again: %w", restored))
		}
	}()
	return f()
}
