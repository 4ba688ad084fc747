//go:build !linux

package resolve

import (
	"errors"
	"fmt"
	"runtime"
)

// Install is Linux-only: elsewhere it returns errors.ErrUnsupported.
func (f Files) Install() error {
	return fmt.Errorf("files in the place of the machine's on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
