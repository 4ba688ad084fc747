//go:build !windows

package spec

import "syscall"

const (
	addressNotAvailable = syscall.EADDRNOTAVAIL
	familyNotSupported  = syscall.EAFNOSUPPORT
)
