//go:build !linux

package sandbox

import "errors"

// Apart runs a function in a network namespace that nothing else is in, on
// Linux.
func (in *Inside) Apart(func() error) error { return errors.ErrUnsupported }
