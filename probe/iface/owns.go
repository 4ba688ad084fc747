package iface

import (
	"net"
	"net/netip"
)

// notOne is why an address that stands for several or none is not the machine's
// own.
const notOne = "it is no address of one interface"

// hasZone says whether the machine has the address on the interface that its
// zone names. A route could tell of the address alone.
func hasZone(addr netip.Addr) bool {
	link, err := net.InterfaceByName(addr.Zone())
	if err != nil {
		return false
	}
	addresses, err := link.Addrs()
	return err == nil && contains(addresses, addr.WithZone(""))
}

func contains(addresses []net.Addr, addr netip.Addr) bool {
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}
