package iface

import (
	"errors"
	"net/netip"
	"syscall"
)

// Owns says whether the kernel delivers packets to the address to this machine,
// and where it does not, why. The unspecified address is not the machine's own:
// which one it stands for is for the caller to say.
func Owns(addr netip.Addr) (own bool, why string, err error) {
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast():
		return false, notOne, nil
	case addr.Zone() != "":
		if !hasZone(addr) {
			return false, addr.Zone() + " does not have it", nil
		}
		return true, "", nil
	}
	route, err := RouteTo(addr)
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return false, "no route leads there", nil
	case err != nil:
		return false, "", err
	case !route.Local:
		return false, "the route to it is " + route.String(), nil
	}
	return true, "", nil
}
