package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/userfile"
)

// zoneName is what a zone may be called.
var zoneName = regexp.MustCompile(`^[\p{L}\p{N}_.-]{1,64}$`)

// isInterface says that a stage can have an interface of that name beside lo
// (dev_valid_name in the kernel's net/core/dev.c; "all" and "default" are taken
// by the settings of all of them, and % stands for a number).
func isInterface(name string) bool {
	switch name {
	case "", "lo", ".", "..", "all", "default":
		return false
	}
	return len(name) < 16 && !strings.ContainsAny(name, "/:%") && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}

// nobodys are networks of which nobody has an address that others send to, nor
// sends from one over a cable: this network, loopback, multicast, broadcast
// (RFC 1122 3.2.1.3, RFC 4291 2.5, 2.7).
var nobodys = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/128"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("ff00::/8"),
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// checkMachine asks for one address of a family, in a network that has room for a
// host beside it.
func checkMachine(node userfile.Node, addresses []netip.Prefix) error {
	seen := map[bool]bool{}
	for i, a := range addresses {
		if seen[a.Addr().Is6()] {
			return node.Fault("machine: write one address of each family, and the others as `destination:`")
		}
		seen[a.Addr().Is6()] = true
		if a.IsSingleIP() {
			length := 24
			if a.Addr().Is6() {
				length = 64
			}
			a = netip.PrefixFrom(a.Addr(), length)
			addresses[i] = a
		}
		switch {
		case within(nobodys, a.Addr()):
			return node.Fault("machine: no interface has the address %s: write one such as 192.0.2.1/24", a.Addr())
		case a.Addr().BitLen()-a.Bits() < 2:
			return node.Fault("machine: %s leaves no room for a host: write a length of at most %d", a, a.Addr().BitLen()-2)
		case a.Bits() < 8:
			return node.Fault("machine: %s is too large a network for one cable: write a length of at least 8", a)
		case a.Addr() == a.Masked().Addr() || a.Addr().Is4() && a.Addr() == last(a):
			return node.Fault("machine: %s is the network or its broadcast address: write an address in it, such as %s/%d", a, a.Masked().Addr().Next(), a.Bits())
		}
	}
	return nil
}

// apart checks that a zone's networks are no other zone's, so that a packet has
// one way to go.
func (p *parser) apart(pair userfile.Pair, z Zone) error {
	for _, other := range p.policy.Zones {
		if other.Interface == z.Interface {
			return pair.At.Fault("zone %s: %s is the interface of zone %s already", z.Name, z.Interface, other.Name)
		}
		for _, m := range z.Machine {
			for _, o := range other.Machine {
				if m.Overlaps(o) {
					return pair.At.Fault("zone %s: its network %s overlaps %s of zone %s: write `machine:` with an address in another", z.Name, m, o, other.Name)
				}
			}
		}
	}
	known := map[netip.Prefix]string{}
	for _, zone := range append(slices.Clone(p.policy.Zones), z) {
		for _, n := range slices.Concat(zone.Machine, zone.Beyond) {
			n = n.Masked()
			first, taken := known[n]
			switch {
			case n.Bits() == 0:
				return pair.At.Fault("zone %s: beyond: leave out %s: what goes nowhere else goes to the first zone", zone.Name, n)
			case taken:
				return pair.At.Fault("zone %s: beyond: %s leads to zone %s already", zone.Name, n, first)
			}
			known[n] = zone.Name
		}
	}
	return nil
}

// parsePrefix reads an address, as a network of one, or a network.
func parsePrefix(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil && !prefix.Addr().Is4In6() {
		return prefix, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is no address, network or group of them: write one such as 10.0.0.1, 10.0.0.0/8 or fd00::/8", text)
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// sourceEnds are the addresses that are asked from, of those that are given.
func (p *Policy) sourceEnds(given []netip.Prefix, zone string, family sock.Family) []netip.Addr {
	closed := p.closed(zone)
	for _, z := range p.Zones {
		for _, m := range z.Machine {
			closed = append(closed, single(m.Addr())) // which others do not send from
		}
	}
	return ends(given, family, closed)
}

// destinationEnds are the addresses that are asked about, of those that are given.
func (p *Policy) destinationEnds(given []netip.Prefix, zone, to string, family sock.Family) []netip.Addr {
	closed := p.closed(zone)
	for _, z := range p.Zones {
		for _, m := range z.Machine {
			if to == Machine {
				closed = append(closed, single(stage.Host(m)))
			} else {
				closed = append(closed, single(m.Addr()))
			}
		}
	}
	return ends(given, family, closed)
}

// closed are networks of which the stack itself drops what comes from a zone,
// before or after it meets the rules.
func (p *Policy) closed(zone string) []netip.Prefix {
	closed := slices.Clone(nobodys)
	if zone == firewall.Loopback {
		closed = slices.DeleteFunc(closed, func(n netip.Prefix) bool { return n.Addr().IsLoopback() })
		closed = append(closed, netip.MustParsePrefix("127.0.0.0/32"), netip.MustParsePrefix("127.255.255.255/32"))
	}
	for _, z := range p.Zones {
		for _, m := range z.Machine {
			closed = append(closed, single(m.Masked().Addr()))
			if m.Addr().Is4() {
				closed = append(closed, single(last(m)))
			}
		}
	}
	return closed
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// ends are the first and the last address of each network of a family that are
// not closed. An address by itself is asked about as it is, and so are the ends
// of a network that is closed as a whole.
func ends(networks []netip.Prefix, family sock.Family, closed []netip.Prefix) []netip.Addr {
	var list []netip.Addr
	add := func(a netip.Addr) {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	for _, n := range networks {
		if n.Addr().Is6() != (family == sock.IPv6) {
			continue
		}
		first, final := n.Masked().Addr(), last(n)
		if n.IsSingleIP() {
			add(first)
			continue
		}
		from := inward(first, closed, func(c netip.Prefix) netip.Addr { return last(c).Next() })
		to := inward(final, closed, func(c netip.Prefix) netip.Addr { return c.Masked().Addr().Prev() })
		if !n.Contains(from) || !n.Contains(to) || to.Less(from) {
			from, to = first, final
		}
		add(from)
		add(to)
	}
	return list
}

// inward leaves closed networks by the way that beyond goes. The zero Addr says
// that there is nothing beyond.
func inward(a netip.Addr, closed []netip.Prefix, beyond func(netip.Prefix) netip.Addr) netip.Addr {
	for a.IsValid() {
		i := slices.IndexFunc(closed, func(c netip.Prefix) bool { return c.Contains(a) })
		if i < 0 {
			return a
		}
		a = beyond(closed[i])
	}
	return a
}

// last is the last address of a network.
func last(n netip.Prefix) netip.Addr {
	b := n.Masked().Addr().AsSlice()
	for bit := n.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// owned are the addresses beside those of the zones that expectations send to at
// the machine.
func (p *Policy) owned() []netip.Addr {
	var list []netip.Addr
	for _, e := range p.Expectations {
		if e.To != Machine {
			continue
		}
		for _, family := range e.Families {
			list = append(list, p.destinationEnds(e.Destinations, e.From, e.To, family)...)
		}
	}
	return slices.DeleteFunc(list, func(a netip.Addr) bool {
		return within(p.closed(""), a) || slices.ContainsFunc(p.Zones, func(z Zone) bool {
			return slices.ContainsFunc(z.Machine, func(m netip.Prefix) bool { return m.Addr() == a || stage.Host(m) == a })
		})
	})
}
