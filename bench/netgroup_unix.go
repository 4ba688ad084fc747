//go:build unix

package bench

import "syscall"

// ownGroup keeps what a terminal sends to its foreground, such as Ctrl-C, from a
// process: it is for the parent to handle.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
