package sandboxtest

import "golang.org/x/sys/unix"

// DropCapabilities takes every capability from the calling thread, which a
// function in a sandbox has to itself (capabilities(7)).
func DropCapabilities() error {
	var none [2]unix.CapUserData
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
}
