//go:build !linux

package topology

import (
	"errors"
	"fmt"
	"runtime"
)

var errUnsupported = fmt.Errorf("processors on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Read fails: only Linux is known.
func Read() (Topology, error) { return Topology{}, errUnsupported }

// Allowed fails: only Linux is known.
func Allowed() ([]int, error) { return nil, errUnsupported }

// On runs f where it may, for cpu -1, and otherwise fails.
func On(cpu int, f func() error) error {
	if cpu >= 0 {
		return errUnsupported
	}
	return f()
}
