//go:build !linux

package leftovers

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Take fails with errors.ErrUnsupported: what is looked at is Linux's.
func (w Watch) Take(context.Context) (Snapshot, error) {
	return Snapshot{}, fmt.Errorf("take a snapshot on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Processes fails with errors.ErrUnsupported.
func (w Watch) Processes() ([]Proc, error) {
	return nil, fmt.Errorf("list processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
