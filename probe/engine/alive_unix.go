//go:build unix

package engine

import (
	"errors"
	"syscall"
)

// alive says whether there is a process of that number (kill(2)).
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
