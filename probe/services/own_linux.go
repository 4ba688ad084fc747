package services

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// isOwn says whether the kernel delivers packets to the address to this machine.
// The unspecified address is none: which one it stands for is for the caller to
// say.
func isOwn(addr netip.Addr) (bool, error) {
	switch {
	case !addr.IsValid() || addr.IsUnspecified():
		return false, nil
	case addr.Zone() != "":
		return hasZone(addr), nil
	}
	route, err := iface.RouteTo(addr)
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return false, nil
	case err != nil:
		return false, err
	}
	return route.Local, nil
}
