package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Apart runs f in a network namespace that nothing else is in, not even an lo
// that is up, and waits for it. It runs on a thread of its own; the namespace
// ends with it, or with the last socket that f left open.
func (in *Inside) Apart(f func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare the network: %w", err)
		}
		return f()
	})
}
