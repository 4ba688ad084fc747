//go:build unix

package engine

import (
	"os/exec"
	"syscall"
)

// apart keeps what a terminal sends to its foreground from the command: a check
// under way may end first.
func apart(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
