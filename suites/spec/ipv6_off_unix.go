//go:build !linux && !windows

package spec

import "syscall"

const addressNotAvailable = syscall.EADDRNOTAVAIL
