//go:build !linux

package spec

import "errors"

// takenOff takes a missing ::1 for the user's choice: only on Linux is it known
// which settings take it away.
func takenOff(bindErr error) absence {
	if !errors.Is(bindErr, addressNotAvailable) {
		return absence{}
	}
	return absence{
		why: "bind to ::1: " + addressNotAvailable.Error(),
		how: "give the loopback interface its address ::1 again",
	}
}
