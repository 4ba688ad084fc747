package policy

import (
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// maxEdges bounds the addresses and source ports of each kind that are combined
// with one another. Of more, as of long lists of addresses, some are taken, evenly.
const maxEdges = 48

// maxOwned bounds the addresses that the machine is given.
const maxOwned = 512

// maxPackets bounds a space: to trace as many takes some seconds.
const maxPackets = 100_000

// space is every kind of packet that rules can tell apart: from each zone, of
// each protocol, family and state, to every port around one that the rules
// compare with, from and to every address around one that they compare with. A
// mutant that moves a number by one compares with nothing that is not among
// them. Where these are too many, each address and source port is combined with
// the usual ones, and with those that one rule names together.
//
// Beside it is how many combinations are left out.
func (s *Session) space() (space []sweep.Sweep, leftOut int) {
	return s.spaceOf(s.Rules.Ruleset, numbers{ruleset.Edges, around})
}

// numbers are those of addresses and of ports that packets get, of the ones that
// rules compare with.
type numbers struct {
	addresses func([]ruleset.Span) []netip.Addr
	ports     func([]uint16) []portset.Range
}

// exactly are the compared ones themselves.
var exactly = numbers{
	func(spans []ruleset.Span) []netip.Addr {
		var ends []netip.Addr
		for _, span := range spans {
			ends = append(ends, span.First, span.Last)
		}
		return distinct(ends)
	},
	func(ports []uint16) []portset.Range {
		list := []portset.Range{{First: 1, Last: 1}}
		for _, port := range ports {
			list = append(list, portset.Range{First: max(port, 1), Last: max(port, 1)})
		}
		return portset.Of(list...).Ranges()
	},
}

// spaceOf is the space of the addresses and ports that some rules compare with.
func (s *Session) spaceOf(rules *ruleset.Ruleset, of numbers) (space []sweep.Sweep, leftOut int) {
	paths := s.paths(rules, of)
	packets := 0
	add := func(p path, source, destination int, port uint16) {
		its := s.kinds(p, source, destination, port)
		packets += count(its)
		space = append(space, its...)
	}
	sourcePorts := thin(sourcePorts(rules, of))
	leftOut = s.thinned(rules, of)
	all := 0
	for _, p := range paths {
		all += len(p.sources) * len(p.destinations) * len(sourcePorts) * s.perCombination(p)
	}
	for _, p := range paths {
		wanted := func(int, int, uint16) bool { return true }
		if all > maxPackets {
			wanted = named(rules, p)
		}
		for i := range p.sources {
			for k := range p.destinations {
				for _, port := range sourcePorts {
					switch {
					case !wanted(i, k, port), packets > maxPackets:
						leftOut++
					default:
						add(p, i, k, port)
					}
				}
			}
		}
	}
	return space, leftOut
}

// path is where packets go from and to, and the addresses that they may have; the
// first of each are the usual ones.
type path struct {
	from, to              string
	family                sock.Family
	sources, destinations []netip.Addr
	ports                 []portset.Range
}

// paths are those between zones.
func (s *Session) paths(rules *ruleset.Ruleset, of numbers) []path {
	sources := thin(of.addresses(rules.Addresses().Sources))
	destinations := s.edgesOf(rules, of)
	ports := of.ports(rules.Ports())
	var paths []path
	for _, from := range s.Policy.zoneNames() {
		for _, to := range s.targets(from) {
			for _, family := range s.Families() {
				p := path{from: from, to: to, family: family, ports: ports, sources: s.sources(Expectation{From: from, To: to}, family)}
				p.destinations = s.destinations(to, from, nil, family)
				if len(p.sources) == 0 || len(p.destinations) == 0 {
					continue
				}
				if from != firewall.Loopback { // the machine has no other addresses
					p.sources = distinct(p.sources, ofFamily(sources, family))
				}
				p.destinations = distinct(p.destinations, thin(ofFamily(destinations[to], family)))
				paths = append(paths, p)
			}
		}
	}
	return paths
}

// distinct are the addresses of both lists, each once, in their order.
func distinct(lists ...[]netip.Addr) []netip.Addr {
	var all []netip.Addr
	for _, a := range slices.Concat(lists...) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// edgesOf are, by where packets go, the addresses beside the usual ones: those
// that the machine was given, and of each network around it what the rules
// compare with and expectations name.
func (s *Session) edgesOf(rules *ruleset.Ruleset, of numbers) map[string][]netip.Addr {
	edges := map[string][]netip.Addr{}
	for _, e := range s.Policy.Expectations {
		if e.To != Machine {
			for _, family := range e.Families {
				edges[e.To] = append(edges[e.To], s.Policy.destinationEnds(e.Destinations, e.From, e.To, family)...)
			}
		}
	}
	for _, a := range of.addresses(rules.Addresses().Destinations) {
		if slices.Contains(s.owned, a) {
			edges[Machine] = append(edges[Machine], a)
		} else if zone, found := s.Policy.network(a); found {
			edges[zone] = append(edges[zone], a)
		}
	}
	return edges
}

// network is the zone whose network an address is in, where it is neither the
// machine's nor closed.
func (p *Policy) network(a netip.Addr) (zone string, found bool) {
	if within(p.closed(""), a) {
		return "", false
	}
	for _, z := range p.Zones {
		for _, n := range slices.Concat(z.Machine, z.Beyond) {
			if n.Addr() == a {
				return "", false
			}
			if n.Contains(a) {
				zone, found = z.Name, true
			}
		}
	}
	return zone, found
}

// named says which combinations of a path are asked where all are too many: of
// the usual ones but for one, and those that a rule names together.
func named(rules *ruleset.Ruleset, p path) func(source, destination int, port uint16) bool {
	type combination struct {
		source, destination int
		port                uint16
	}
	together := map[combination]bool{}
	for t, rule := range rules.All() {
		only := rules.Only(ruleset.RuleID{Family: t.Family, Table: t.Name, Handle: rule.Handle})
		addresses, ports := only.Addresses(), append(only.SourcePorts(), 0)
		sources, destinations := ruleset.Edges(addresses.Sources), ruleset.Edges(addresses.Destinations)
		if len(sources)+len(ports) == 1 || len(destinations)+len(ports) == 1 {
			continue // alone
		}
		for i, source := range p.sources {
			if i > 0 && !slices.Contains(sources, source) {
				continue
			}
			for k, destination := range p.destinations {
				if k > 0 && !slices.Contains(destinations, destination) {
					continue
				}
				for _, port := range ports {
					together[combination{i, k, port}] = true
				}
			}
		}
	}
	return func(source, destination int, port uint16) bool {
		usual := 0
		for _, one := range []bool{source == 0, destination == 0, port == 0} {
			if one {
				usual++
			}
		}
		return usual >= 2 || together[combination{source, destination, port}]
	}
}

// count is how many packets sweeps have.
func count(sweeps []sweep.Sweep) (n int) {
	for _, one := range sweeps {
		for _, r := range one.Ports {
			n += r.Len()
		}
	}
	return n
}

// perCombination is about how many packets each combination of addresses has.
func (s *Session) perCombination(p path) int { return count(s.kinds(p, 1, 0, 1)) }

// sourcePorts are those around the ones that rules compare with, and 0 for any.
func sourcePorts(rules *ruleset.Ruleset, of numbers) []uint16 {
	compared, ports := rules.SourcePorts(), []uint16{0}
	if len(compared) == 0 {
		return ports
	}
	for _, r := range of.ports(compared) {
		for n := int(r.First); n <= int(r.Last); n++ {
			ports = append(ports, uint16(n))
		}
	}
	return ports
}

// thinned is how many addresses and source ports around those that the rules
// compare with are in no combination.
func (s *Session) thinned(rules *ruleset.Ruleset, of numbers) (n int) {
	n += max(0, len(of.addresses(rules.Addresses().Sources))-maxEdges)
	n += max(0, len(sourcePorts(rules, of))-maxEdges)
	n += max(0, len(ownable(s.Policy, rules))-maxOwned)
	for _, edges := range s.edgesOf(rules, of) {
		for _, family := range s.Families() {
			n += max(0, len(ofFamily(edges, family))-maxEdges)
		}
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

// kinds are the packets between two addresses of a path, from a port, which is 0
// for any.
func (s *Session) kinds(p path, source, destination int, port uint16) []sweep.Sweep {
	var list []sweep.Sweep
	for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP, sweep.ICMP} {
		for _, state := range states {
			e := Expectation{From: p.from, Protocol: protocol, State: state, Ports: p.ports, SourcePort: port}
			switch {
			case protocol == sweep.ICMP && port != 0:
				continue
			case protocol == sweep.ICMP && state == sweep.Related:
				e.Ports = sweep.RelatedTypes(p.family == sock.IPv6)
			case protocol == sweep.ICMP && state != sweep.New, protocol != sweep.ICMP && state == sweep.Related, protocol == sweep.UDP && state == sweep.Invalid && p.from == firewall.Loopback:
				continue
			case protocol == sweep.ICMP && source == 0 && destination == 0:
				e.Ports = everyType
			case protocol == sweep.ICMP:
				e.Ports = s.types(p.family)
			}
			list = append(list, e.sweep(p.sources[min(source, len(p.sources)-1)], p.destinations[destination]))
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
func thin[T any](list []T) []T { return some(list, maxEdges) }

// some leaves at most so many, evenly.
func some[T any](list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	var kept []T
	for i := range most {
		kept = append(kept, list[i*(len(list)-1)/(most-1)])
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
// which a machine has to have for packets to them to come to its rules: those that
// are in no network around it.
func ownable(p *Policy, rules *ruleset.Ruleset) []netip.Addr {
	edges := ruleset.Edges(rules.Addresses().Destinations)
	list := slices.Concat(ofFamily(edges, sock.IPv4), ofFamily(edges, sock.IPv6))
	return slices.DeleteFunc(list, func(a netip.Addr) bool {
		return slices.ContainsFunc(p.Zones, func(z Zone) bool {
			return slices.ContainsFunc(slices.Concat(z.Machine, z.Beyond), func(n netip.Prefix) bool { return n.Contains(a) })
		})
	})
}
