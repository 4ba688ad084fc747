package sock

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// unchanged is no user ID: it has setfsuid(2) tell the one there is.
const unchanged = -1

// NewOwned opens a socket that belongs to another user, as those do that a
// process of that user opens (setfsuid(2); the owner is what SO_REUSEPORT goes
// by). It takes CAP_SETUID and an ID that exists in the user namespace: without
// them the error wraps EPERM.
func NewOwned(kind Kind, family Family, uid int) (s *Socket, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The user ID is that of the thread, which ends with the goroutine
		// that it stays locked to.
		runtime.LockOSThread()
		if err = becomeForFiles(uid); err == nil {
			s, err = New(kind, family)
		}
	}()
	<-done
	return s, err
}

// becomeForFiles changes whom what the calling thread makes belongs to.
func becomeForFiles(uid int) error {
	// It reports no failure: what it returns is the ID before it.
	if _, err := unix.SetfsuidRetUid(uid); err != nil {
		return fmt.Errorf("become user %d: %w", uid, err)
	}
	now, err := unix.SetfsuidRetUid(unchanged)
	switch {
	case err != nil:
		return fmt.Errorf("become user %d: %w", uid, err)
	case now != uid:
		return fmt.Errorf("become user %d: %w", uid, unix.EPERM)
	}
	return nil
}
