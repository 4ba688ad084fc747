package policy

import (
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// maxEdges bounds the addresses and source ports that are combined with
// everything else. Of more, as of long lists of addresses, some are taken, evenly.
const maxEdges = 48

// space is every kind of packet that rules can tell apart: from each zone, of
// each protocol, family and state, to every port around one that the rules
// compare with, from and to every address around one that they compare with. A
// mutant that moves a number by one compares with nothing that is not among
// them.
func (s *Session) space() []sweep.Sweep {
	ports := s.edges
	sources, destinations := thin(ruleset.Edges(s.Rules.Addresses().Sources)), s.owned
	sourcePorts := thin(s.sourcePorts())
	var space []sweep.Sweep
	for _, from := range s.Policy.zoneNames() {
		for _, to := range s.targets(from) {
			for _, family := range s.Families() {
				own := s.sources(Expectation{From: from, To: to}, family)
				froms := slices.Concat(own, ofFamily(sources, family))
				if from == firewall.Loopback {
					froms = own // the machine has no other addresses
				}
				tos := s.destinations(to, from, nil, family)
				if to == Machine {
					tos = slices.Concat(tos, ofFamily(destinations, family))
				}
				for i, source := range froms {
					for k, destination := range tos {
						types := everyType
						if i > 0 || k > 0 {
							types = s.types(family)
						}
						space = append(space, s.kinds(from, source, destination, ports, types, sourcePorts)...)
					}
				}
			}
		}
	}
	return space
}

// sourcePorts are those around the ones that rules compare with, and 0 for any.
func (s *Session) sourcePorts() []uint16 {
	compared, ports := s.Rules.SourcePorts(), []uint16{0}
	if len(compared) == 0 {
		return ports
	}
	for _, r := range around(compared) {
		for n := int(r.First); n <= int(r.Last); n++ {
			ports = append(ports, uint16(n))
		}
	}
	return ports
}

// leftOut is how many addresses and source ports around those that the rules
// compare with are not in the space.
func (s *Session) leftOut() (n int) {
	for _, all := range []int{len(ruleset.Edges(s.Rules.Addresses().Sources)), len(s.sourcePorts()), len(ownable(s.Policy, s.Rules))} {
		n += max(0, all-maxEdges)
	}
	return n
}

// everyType are the types of ICMP.
var everyType = []portset.Range{{First: 0, Last: 255}}

// types are those around the ones that rules compare with, and some of each way in
// which connection tracking takes them: as requests, answers, errors, and not at
// all (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c).
func (s *Session) types(family sock.Family) []portset.Range {
	numbers := map[sock.Family][]uint8{sock.IPv4: {0, 3, 8, 13, 255}, sock.IPv6: {1, 128, 129, 133, 135, 255}}[family]
	list := make([]portset.Range, 0, len(numbers))
	for _, n := range slices.Concat(numbers, s.Rules.Types()) {
		list = append(list, portset.Range{First: uint16(max(n, 1) - 1), Last: uint16(min(n, 254) + 1)})
	}
	return portset.Of(list...).Ranges()
}

// kinds are the packets between two addresses.
func (s *Session) kinds(from string, source, destination netip.Addr, ports, types []portset.Range, sourcePorts []uint16) []sweep.Sweep {
	var list []sweep.Sweep
	for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP, sweep.ICMP} {
		for _, state := range states {
			e := Expectation{From: from, Protocol: protocol, State: state, Ports: ports}
			switch {
			case protocol == sweep.ICMP && state == sweep.Related:
				e.Ports = sweep.RelatedTypes(destination.Is6())
				list = append(list, e.sweep(source, destination))
				continue
			case protocol == sweep.ICMP && state != sweep.New, protocol != sweep.ICMP && state == sweep.Related, protocol == sweep.UDP && state == sweep.Invalid && from == firewall.Loopback:
				continue
			case protocol == sweep.ICMP:
				e.Ports = types
			}
			for _, sourcePort := range sourcePorts {
				if protocol == sweep.ICMP && sourcePort != 0 {
					continue
				}
				e.SourcePort = sourcePort
				list = append(list, e.sweep(source, destination))
			}
		}
	}
	return list
}

// targets are where packets from a zone go: the machine, and where it is a
// router the other zones. What leaves the machine goes to any.
func (s *Session) targets(from string) []string {
	targets := []string{Machine}
	for _, z := range s.Policy.Zones {
		if z.Name != from && (from == firewall.Loopback || s.Policy.forwards()) {
			targets = append(targets, z.Name)
		}
	}
	return targets
}

// around are ports and their neighbours, two to each side, with the first and
// the last that there are.
func around(ports []uint16) []portset.Range {
	list := []portset.Range{{First: 1, Last: 1}, {First: 65535, Last: 65535}}
	for _, port := range ports {
		first, last := max(int(port)-2, 1), min(int(port)+2, 65535)
		list = append(list, portset.Range{First: uint16(first), Last: uint16(last)})
	}
	return portset.Of(list...).Ranges()
}

// thin leaves at most maxEdges, evenly.
func thin[T any](list []T) []T {
	if len(list) <= maxEdges {
		return list
	}
	var kept []T
	for i := range maxEdges {
		kept = append(kept, list[i*(len(list)-1)/(maxEdges-1)])
	}
	return kept
}

func ofFamily(addresses []netip.Addr, family sock.Family) []netip.Addr {
	var list []netip.Addr
	for _, a := range addresses {
		if a.Is6() == (family == sock.IPv6) && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			list = append(list, a)
		}
	}
	return list
}

// ownable are the addresses around those that rules compare a destination with,
// which a machine has to have for packets to them to come to its rules; thin
// leaves those that it is given.
func ownable(p *Policy, rules *firewall.Rules) []netip.Addr {
	edges := ruleset.Edges(rules.Addresses().Destinations)
	list := slices.Concat(ofFamily(edges, sock.IPv4), ofFamily(edges, sock.IPv6))
	list = slices.DeleteFunc(list, func(a netip.Addr) bool {
		return slices.ContainsFunc(p.Zones, func(z Zone) bool {
			return slices.ContainsFunc(z.Machine, func(m netip.Prefix) bool { return m.Addr() == a || stage.Host(m) == a })
		})
	})
	return list
}
