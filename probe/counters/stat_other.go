//go:build !linux

package counters

import (
	"errors"
	"fmt"
)

// ReadStat fails with errors.ErrUnsupported: only Linux counts so.
func ReadStat() (Stat, error) {
	return Stat{}, fmt.Errorf("reading scheduler counters: %w", errors.ErrUnsupported)
}
