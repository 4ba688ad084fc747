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
// to any, and none beside one whose packets it might answer or repeat.
func groups(machine Machine, sweeps []Sweep) [][]int {
	var all [][]int
	for _, connect := range []bool{false, true} {
		var groups []group
		for i, s := range sweeps {
			if s.connects() != connect {
				continue
			}
			var f *flow
			if machine.remembers(s) {
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
	flows  []*flow
}

func (g *group) takes(f *flow) bool {
	return len(g.places) < maxSweeps && (f == nil || !slices.ContainsFunc(g.flows, func(other *flow) bool {
		return f.answers(other) || f.repeats(other)
	}))
}

func (g *group) add(place int, f *flow) {
	g.places = append(g.places, place)
	if f != nil {
		g.flows = append(g.flows, f)
	}
}

// flow is what connection tracking knows the packets of a sweep by.
type flow struct {
	protocol  Protocol
	source    netip.Addr
	target    netip.Addr
	connects  bool
	ephemeral bool
	from, to  portset.Set
}

func newFlow(s Sweep) *flow {
	f := &flow{
		protocol: s.Protocol, source: s.Source, target: s.To, connects: s.connects(),
		ephemeral: s.SourcePort == 0, from: portset.Ports(s.SourcePort), to: portset.Of(s.Ports...),
	}
	switch {
	case f.protocol == ICMP:
	case f.ephemeral && s.Burst > 0:
		f.from = portset.Of(portset.Range{First: ephemeralFirst, Last: ephemeralFirst + ephemeralPorts - 1})
	case f.ephemeral:
		state := sourcePorts[s.State] - firstPort
		f.from = portset.Ports(firstPort+state, secondPort+state, thirdPort+state)
	}
	if s.Burst > 0 {
		f.to = portset.Ports(s.Ports[0].First)
	}
	return f
}

// answers says that a packet of one may be taken for the answer to one of the
// other. Those from ephemeral ports keep apart by themselves, and a message of
// ICMP is the answer to none of its own type.
func (f *flow) answers(other *flow) bool {
	return f.protocol == other.protocol && f.protocol != ICMP && !(f.ephemeral && other.ephemeral) &&
		f.source == other.target && f.target == other.source &&
		overlap(f.from, other.to) && overlap(f.to, other.from)
}

// repeats says that packets of both may begin the same connection. Two
// processors that begin one at the same time do not know of each other, and of
// TCP and ICMP the kernel drops the packet that is confirmed last
// (__nf_conntrack_confirm; only UDP may clash). A connection that was made before
// is known to both.
func (f *flow) repeats(other *flow) bool {
	return !f.connects && f.protocol == other.protocol &&
		f.source == other.source && f.target == other.target &&
		overlap(f.from, other.from) && overlap(f.to, other.to)
}

func overlap(a, b portset.Set) bool { return a.Without(b).Len() < a.Len() }
