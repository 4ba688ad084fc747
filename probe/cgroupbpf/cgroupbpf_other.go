//go:build !linux

package cgroupbpf

import (
	"errors"
	"fmt"
	"runtime"
)

// Read looks at the control groups of Linux.
func Read() ([]Program, error) {
	return nil, fmt.Errorf("control groups of %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
