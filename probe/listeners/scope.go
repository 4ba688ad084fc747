package listeners

import (
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// lo is the name of the loopback interface.
const lo = "lo"

// limitedBroadcast is every host of whatever network a packet comes from
// (RFC 919 7).
var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// interfaces are the names of interfaces by the addresses they have, and by
// those that they broadcast to. Of several the first counts.
type interfaces map[netip.Addr]string

func interfacesOf(addresses []iface.Assigned) interfaces {
	on := interfaces{}
	for _, a := range addresses {
		for _, addr := range []netip.Addr{a.Addr, a.Broadcast} {
			if _, known := on[addr]; !known && addr.IsValid() {
				on[addr] = a.Interface
			}
		}
	}
	return on
}

// scopeOf says from where packets can reach a socket, and through which
// interface, by its address and the device that it is bound to, "" for none.
func (on interfaces) scopeOf(addr netip.Addr, device string) (Scope, string) {
	switch {
	case addr.IsLoopback() && device == "":
		return Loopback, lo
	case addr.IsLoopback(), addr.IsInterfaceLocalMulticast(), device == lo:
		return Loopback, device
	case device != "":
		return Interface, device
	case addr.IsUnspecified(), addr.IsMulticast(), addr == limitedBroadcast:
		return Every, ""
	}
	return Interface, on[addr]
}
