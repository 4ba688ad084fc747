package bench

import "syscall"

// ownGroup keeps Ctrl-C from a process: it is for the parent to handle.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
