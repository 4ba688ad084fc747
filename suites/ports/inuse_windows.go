package ports

import (
	"errors"

	"golang.org/x/sys/windows"
)

// inUse says whether somebody else has the port. Windows says WSAEACCES of one
// that is bound for its owner alone, or is in a range that was set aside, as
// Hyper-V does (bind function, Winsock reference).
func inUse(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}
