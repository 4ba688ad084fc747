//go:build !linux

package counters

import (
	"errors"
	"fmt"
)

// Read fails with errors.ErrUnsupported: only Linux shows them so.
func Read() (Snapshot, error) {
	return nil, fmt.Errorf("reading protocol counters: %w", errors.ErrUnsupported)
}
