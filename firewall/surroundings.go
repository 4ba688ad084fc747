package firewall

import (
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/routing"
	"github.com/loopcheck/loopcheck/probe/stage"
)

// surroundings are the networks that a machine is in.
type surroundings struct {
	// uplink is the interface of the default route; "" where there is none.
	uplink string
	// addresses are the machine's, with the length of the network.
	addresses map[string][]netip.Prefix
}

// readSurroundings reads those of the calling thread's network namespace.
func readSurroundings() (surroundings, error) {
	s := surroundings{addresses: map[string][]netip.Prefix{}}
	var err error
	if s.uplink, err = routing.Default(); err != nil {
		return s, err
	}
	assigned, err := iface.Addresses()
	if err != nil {
		return s, err
	}
	for _, a := range assigned {
		// A link-local address is of its interface alone, and each has one.
		if !a.Addr.IsLinkLocalUnicast() && !a.Addr.IsLoopback() {
			s.addresses[a.Interface] = append(s.addresses[a.Interface], netip.PrefixFrom(a.Addr, a.Bits))
		}
	}
	return s, nil
}

// at are the addresses that a stage's machine gets at an interface: the real
// machine's first of each family, or one that is made up where it has none or
// another zone has the network.
func (s surroundings) at(name string, place int, taken []stage.Zone) []netip.Prefix {
	addresses := stage.Defaults(place)
	for i, made := range addresses {
		for _, own := range s.addresses[name] {
			if own.Addr().Is6() != made.Addr().Is6() {
				continue
			}
			own = withNeighbours(own)
			free := !slices.ContainsFunc(taken, func(z stage.Zone) bool { return slices.ContainsFunc(z.Machine, own.Overlaps) })
			if free {
				addresses[i] = own
			}
			break
		}
	}
	return addresses
}

// withNeighbours widens the network of an address until it has room for a host
// beside the machine: clouds give machines an address that is a network of its
// own.
func withNeighbours(p netip.Prefix) netip.Prefix {
	const roomBits = 2 // for the network, the broadcast address, and two hosts
	bits := min(p.Bits(), p.Addr().BitLen()-roomBits)
	for ; bits > 1; bits-- {
		wide := netip.PrefixFrom(p.Addr(), bits).Masked()
		if p.Addr() != wide.Addr() && wide.Contains(p.Addr().Next()) {
			break
		}
	}
	return netip.PrefixFrom(p.Addr(), bits)
}
