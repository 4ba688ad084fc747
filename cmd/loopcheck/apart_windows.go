package main

import (
	"os/exec"
	"syscall"
)

// runApart runs a command that Ctrl-C is kept from. It is killed when its
// context ends.
func runApart(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	cmd.WaitDelay = commandGrace
	return cmd.Run()
}
