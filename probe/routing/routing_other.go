//go:build !linux

package routing

import (
	"errors"
	"fmt"
	"runtime"
)

// Examine looks at the routing of Linux.
func Examine() ([]Problem, error) {
	return nil, fmt.Errorf("routing rules of %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Default looks at the routing of Linux.
func Default() (name string, err error) {
	return "", fmt.Errorf("routes of %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
