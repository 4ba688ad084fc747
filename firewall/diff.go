package firewall

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// DiffSchema is the version of the form in which differences are written.
const DiffSchema = "1"

// Effect is what a change does to packets.
type Effect string

const (
	// Opened: what was dropped or rejected is accepted.
	Opened Effect = "opened"
	// Closed: what was accepted is dropped or rejected.
	Closed Effect = "closed"
	// Altered: it is refused otherwise than before, or accepted elsewhere.
	Altered Effect = "altered"
)

// effects are in the order in which changes are told.
var effects = []Effect{Opened, Closed, Altered}

// Difference is what became of the verdicts between two Maps.
type Difference struct {
	SchemaVersion string `json:"schema_version"`
	// Base and New are the sources of the two.
	Base string `json:"base"`
	New  string `json:"new"`
	// Changes are openings, then closings, then others, each in the order of
	// zones, protocols, families and ports.
	Changes []Change `json:"changes"`
	// Uncompared are maps that only one of the two has.
	Uncompared []Uncompared `json:"uncompared"`
}

// Change is ports next to one another whose verdict changed alike. Where only
// the rule is another that decides, nothing changed.
type Change struct {
	Effect   Effect `json:"effect"`
	Zone     string `json:"zone"`
	Protocol string `json:"protocol"`
	// Families are ipv4, ipv6 or both. Those of icmp are never put together:
	// their types mean something else.
	Families []string `json:"families"`
	// Range is of ports, for icmp of types.
	portset.Range
	Before Decision `json:"before"`
	After  Decision `json:"after"`
}

// Decision is what becomes of a packet, and why.
type Decision struct {
	verdict.Verdict
	// Landed is Range's.
	Landed netip.AddrPort `json:"landed,omitzero"`
	// Rule decided; nil where there is none on the way, or none is known.
	Rule *Rule `json:"rule,omitempty"`
}

// Outcome is the verdict with where the packet landed.
func (d Decision) Outcome() string { return Range{Verdict: d.Verdict, Landed: d.Landed}.Outcome() }

// Uncompared is a zone, or one protocol and family of it, that was asked about
// for one of two Maps only.
type Uncompared struct {
	// In is "base" or "new".
	In   string `json:"in"`
	Zone string `json:"zone"`
	// Protocol and Family are "" for all.
	Protocol string `json:"protocol,omitempty"`
	Family   string `json:"family,omitempty"`
}

// Diff compares the verdicts of two Maps. Ports that only one of two ranges
// lists holds are not compared.
func Diff(base, after *Maps) *Difference {
	d := &Difference{
		SchemaVersion: DiffSchema, Base: base.Source, New: after.Source, Changes: []Change{},
		Uncompared: append(lacking("base", base, after), lacking("new", after, base)...),
	}
	var changes []Change
	for _, before := range base.Maps {
		now, found := after.Find(before.Zone, before.Protocol, before.Family)
		if !found {
			continue
		}
		c := comparison{base, after, before, base.own(before), after.own(now)}
		changes = append(changes, c.changes(now)...)
	}
	changes = bothFamilies(changes)
	for _, effect := range effects {
		for _, change := range changes {
			if change.Effect == effect {
				d.Changes = append(d.Changes, change)
			}
		}
	}
	return d
}

// Count is how many changes have an effect.
func (d *Difference) Count(effect Effect) (count int) {
	for _, c := range d.Changes {
		if c.Effect == effect {
			count++
		}
	}
	return count
}

// lacking are the maps that only the first has; a zone without any counterpart
// is told once.
func lacking(in string, its, other *Maps) []Uncompared {
	alone := []Uncompared{}
	for _, m := range its.Maps {
		if _, found := other.Find(m.Zone, m.Protocol, m.Family); found {
			continue
		}
		u := Uncompared{In: in, Zone: m.Zone, Protocol: m.Protocol, Family: m.Family}
		if !slices.ContainsFunc(other.Maps, func(o Map) bool { return o.Zone == m.Zone }) {
			u.Protocol, u.Family = "", ""
		}
		if !slices.Contains(alone, u) {
			alone = append(alone, u)
		}
	}
	return alone
}

// own is the address that a map's packets were sent to; the zero Addr where that
// is not told.
func (m *Maps) own(one Map) netip.Addr {
	for _, place := range m.Zones {
		for _, to := range place.To {
			if place.Zone == one.Zone && to.Is6() == (one.Family == "ipv6") {
				return to
			}
		}
	}
	return netip.Addr{}
}

// comparison is of the ranges of one zone, protocol and family.
type comparison struct {
	base, after       *Maps
	of                Map
	baseOwn, afterOwn netip.Addr
}

// changes goes through both range lists at once.
func (c comparison) changes(now Map) []Change {
	var changes []Change
	for i, k := 0, 0; i < len(c.of.Ranges) && k < len(now.Ranges); {
		a, b := c.of.Ranges[i], now.Ranges[k]
		ports := portset.Range{First: max(a.First, b.First), Last: min(a.Last, b.Last)}
		if effect, changed := c.effect(a, b); changed && ports.First <= ports.Last {
			changes = joined(changes, Change{
				Effect: effect, Zone: c.of.Zone, Protocol: c.of.Protocol, Families: []string{c.of.Family},
				Range: ports, Before: c.base.decision(a), After: c.after.decision(b),
			})
		}
		// The one that ends first is done with, or both.
		order := cmp.Compare(a.Last, b.Last)
		if order <= 0 {
			i++
		}
		if order >= 0 {
			k++
		}
	}
	return changes
}

// effect says what a change from one range's verdict to another's does.
func (c comparison) effect(a, b Range) (effect Effect, changed bool) {
	switch accepted := [2]bool{a.Action == verdict.Accept, b.Action == verdict.Accept}; {
	case !accepted[0] && accepted[1]:
		return Opened, true
	case accepted[0] && !accepted[1]:
		return Closed, true
	}
	return Altered, a.Verdict != b.Verdict || landing(a, c.baseOwn) != landing(b, c.afterOwn)
}

// landing is where a packet landed. The machine's own address stands for
// itself, so that one with another address than before is not another place.
func landing(r Range, own netip.Addr) netip.AddrPort {
	if r.Landed.IsValid() && r.Landed.Addr() == own {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), r.Landed.Port())
	}
	return r.Landed
}

func (m *Maps) decision(r Range) Decision {
	d := Decision{Verdict: r.Verdict, Landed: r.Landed}
	if r.Rule >= 0 && r.Rule < len(m.Rules) {
		d.Rule = &m.Rules[r.Rule]
	}
	return d
}

// joined adds a change, to the one before it where they are neighbours that
// changed alike.
func joined(changes []Change, c Change) []Change {
	if n := len(changes); n > 0 && int(changes[n-1].Last)+1 == int(c.First) && changes[n-1].alike(c) {
		changes[n-1].Last = c.Last
		return changes
	}
	return append(changes, c)
}

// bothFamilies puts changes together that are alike but for the family.
func bothFamilies(changes []Change) []Change {
	type place struct {
		zone, protocol string
		ports          portset.Range
	}
	first := map[place]int{}
	var merged []Change
	for _, c := range changes {
		at := place{c.Zone, c.Protocol, c.Range}
		if i, found := first[at]; found && c.Protocol != "icmp" && merged[i].alike(c) {
			merged[i].Families = append(merged[i].Families, c.Families...)
			continue
		}
		first[at] = len(merged)
		merged = append(merged, c)
	}
	return merged
}

// alike says that the same became of the ports of both, by the same rules.
func (c Change) alike(other Change) bool {
	return c.Effect == other.Effect && c.Before.same(other.Before) && c.After.same(other.After)
}

func (d Decision) same(other Decision) bool {
	return d.Verdict == other.Verdict && d.Landed == other.Landed && sameRule(d.Rule, other.Rule)
}

// sameRule goes by what a rule says and where it stands. Its handle is another
// whenever it is loaded.
func sameRule(a, b *Rule) bool {
	if a == nil || b == nil {
		return a == b
	}
	one, two := *a, *b
	one.Handle, two.Handle = 0, 0
	return one == two
}
