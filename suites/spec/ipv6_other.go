//go:build !windows

package spec

import "syscall"

const familyNotSupported = syscall.EAFNOSUPPORT
