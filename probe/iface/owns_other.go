//go:build !linux

package iface

import (
	"fmt"
	"net"
	"net/netip"
)

// Owns says whether the address is on one of the machine's interfaces, or a
// loopback one, and where it is not, why. The unspecified address is not the
// machine's own: which one it stands for is for the caller to say.
func Owns(addr netip.Addr) (own bool, why string, err error) {
	const absent = "no interface has it"
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast():
		return false, notOne, nil
	case addr.Zone() != "":
		if !hasZone(addr) {
			return false, absent, nil
		}
		return true, "", nil
	case addr.IsLoopback():
		return true, "", nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false, "", fmt.Errorf("list the addresses of the machine: %w", err)
	}
	if !contains(addresses, addr) {
		return false, absent, nil
	}
	return true, "", nil
}
