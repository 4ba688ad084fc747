package sock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ShutdownNumbered is Shutdown with a number that the kernel need not know
// (shutdown(2)).
func (s *Socket) ShutdownNumbered(how int) error {
	if err := unix.Shutdown(s.fd, how); err != nil {
		return fmt.Errorf("shut down with %d: %w", how, err)
	}
	return nil
}
