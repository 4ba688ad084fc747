//go:build !linux

package counters

import (
	"errors"
	"fmt"
)

// ReadCPUPressure fails with errors.ErrUnsupported: only Linux has pressure
// stall information.
func ReadCPUPressure() (Pressure, error) {
	return Pressure{}, fmt.Errorf("reading CPU pressure: %w", errors.ErrUnsupported)
}
