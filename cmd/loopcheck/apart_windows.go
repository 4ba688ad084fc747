package main

import (
	"os/exec"
	"syscall"
)

// apart keeps Ctrl-C from a command.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
