package sweep

import (
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
)

// connects says that packets of a sweep belong to a connection.
func (s Sweep) connects() bool { return s.State == Established || s.State == Related }

// remembers says that connection tracking remembers packets of a sweep: those
// of its own connections, and those over lo, which are confirmed on their way
// out, before they come to where they are recorded. The next packets between the
// same ports would belong to them.
func (m Machine) remembers(s Sweep) bool { return s.connects() || s.Zone == m.Zone }

// groups are the sweeps of each recording, by their places: as many as it can
// tell apart, those that make connections apart from those that must not belong
// to any, and none beside one whose packets it might answer.
func groups(machine Machine, sweeps []Sweep) [][]int {
	var all [][]int
	for _, connect := range []bool{false, true} {
		var groups []group
		for i, s := range sweeps {
			if s.connects() != connect {
				continue
			}
			var f *flow
			if machine.remembers(s) && s.Protocol != ICMP {
				f = newFlow(s)
			}
			k := slices.IndexFunc(groups, func(g group) bool { return g.takes(f) })
			if k < 0 {
				k, groups = len(groups), append(groups, group{})
			}
			groups[k].add(i, f)
		}
		for _, g := range groups {
			all = append(all, g.places)
		}
	}
	return all
}

// group are sweeps that are asked in one recording.
type group struct {
	places []int
	// given and free are the flows of those with a source port of their own, and
	// of those without.
	given, free []*flow
}

func (g *group) takes(f *flow) bool {
	if len(g.places) == maxSweeps {
		return false
	}
	if f == nil {
		return true
	}
	meets := func(other *flow) bool { return f.meets(other) }
	return !slices.ContainsFunc(g.given, meets) && (f.ephemeral || !slices.ContainsFunc(g.free, meets))
}

func (g *group) add(place int, f *flow) {
	g.places = append(g.places, place)
	switch {
	case f == nil:
	case f.ephemeral:
		g.free = append(g.free, f)
	default:
		g.given = append(g.given, f)
	}
}

// flow is what connection tracking knows the packets of a sweep by.
type flow struct {
	protocol  Protocol
	source    netip.Addr
	target    netip.Addr
	ephemeral bool
	from, to  portset.Set
}

func newFlow(s Sweep) *flow {
	f := &flow{protocol: s.Protocol, source: s.Source, target: s.To, ephemeral: s.SourcePort == 0, from: portset.Ports(s.SourcePort), to: portset.Of(s.Ports...)}
	switch {
	case f.ephemeral && s.Burst > 0:
		f.from = portset.Of(portset.Range{First: ephemeralFirst, Last: ephemeralFirst + ephemeralPorts - 1})
	case f.ephemeral:
		f.from = portset.Of(portset.Range{First: thirdPort, Last: firstPort + statePorts - 1})
	}
	if s.Burst > 0 {
		f.to = portset.Ports(s.Ports[0].First)
	}
	return f
}

// meets says that a packet of one may be taken for the answer to one of the
// other. Those from ephemeral ports keep apart by themselves.
func (f *flow) meets(other *flow) bool {
	return f.protocol == other.protocol && f.source == other.target && f.target == other.source &&
		overlap(f.from, other.to) && overlap(f.to, other.from)
}

func overlap(a, b portset.Set) bool { return a.Without(b).Len() < a.Len() }
