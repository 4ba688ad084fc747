package ports

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// dropBindService takes CAP_NET_BIND_SERVICE from the calling thread, which has
// to end without it (capset(2)).
func dropBindService() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	// Version 3 has 64 capabilities, in two structures.
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities of a thread: %w", err)
	}
	const bit = uint32(1) << unix.CAP_NET_BIND_SERVICE
	sets[0].Effective &^= bit
	sets[0].Permitted &^= bit
	sets[0].Inheritable &^= bit
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("drop CAP_NET_BIND_SERVICE: %w", err)
	}
	return nil
}
