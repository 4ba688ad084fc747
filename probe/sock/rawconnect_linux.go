package sock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawConnect is connect(2) with an address that x/sys has no type for.
func rawConnect(fd int, addr *unix.RawSockaddrAny, length uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(addr)), length); errno != 0 {
		return errno
	}
	return nil
}
