//go:build !windows

package ports

import (
	"errors"
	"syscall"
)

// inUse says whether somebody else has the port.
func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
