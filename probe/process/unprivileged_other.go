//go:build !linux

package process

import (
	"errors"
	"fmt"
)

// Unprivileged runs f as a thread that has no capability. Only Linux has them.
func Unprivileged(func() error) error {
	return fmt.Errorf("drop the capabilities of a thread: %w", errors.ErrUnsupported)
}
