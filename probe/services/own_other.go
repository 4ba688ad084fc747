//go:build !linux

package services

import (
	"fmt"
	"net"
	"net/netip"
)

// isOwn says whether the address is on one of the machine's interfaces, or a
// loopback one. The unspecified address is none: which one it stands for is for
// the caller to say.
func isOwn(addr netip.Addr) (bool, error) {
	switch {
	case !addr.IsValid() || addr.IsUnspecified():
		return false, nil
	case addr.Zone() != "":
		return hasZone(addr), nil
	case addr.IsLoopback():
		return true, nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("list the addresses of the machine: %w", err)
	}
	return contains(addresses, addr), nil
}
