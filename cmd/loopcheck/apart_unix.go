//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"time"
)

// runApart runs a command in a session of its own, which what a terminal sends to
// its foreground does not reach. When its context ends it is asked to end with all
// it started; what has not after commandGrace is killed before this returns.
func runApart(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = commandGrace
	var asked time.Time
	cmd.Cancel = func() error {
		asked = time.Now()
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}
	err := cmd.Run()
	if asked.IsZero() {
		return err
	}
	// Nobody tells when the last of a group that are no children has ended.
	for group := -cmd.Process.Pid; syscall.Kill(group, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(asked) > commandGrace {
			_ = syscall.Kill(group, syscall.SIGKILL) // one that has just ended is as good
			break
		}
	}
	return err
}
