//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// apart gives a command a session of its own, which what a terminal sends to its
// foreground does not reach, and has it ended with all it started.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
