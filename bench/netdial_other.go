//go:build !linux

package bench

import "syscall"

// withoutPort does nothing: only Linux has the option.
func withoutPort(_, _ string, _ syscall.RawConn) error { return nil }
