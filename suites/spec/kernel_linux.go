package spec

import "golang.org/x/sys/unix"

// kernelRelease is the running kernel's version (uname(2)).
func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
