package spec

import "golang.org/x/sys/windows"

// Winsock has numbers of its own.
const (
	addressNotAvailable = windows.WSAEADDRNOTAVAIL
	familyNotSupported  = windows.WSAEAFNOSUPPORT
)
