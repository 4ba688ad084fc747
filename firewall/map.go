package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// Loopback and Outside are the zones that every map has: the machine itself, and
// what is around it where no other zone is.
const (
	Loopback = "loopback"
	Outside  = "outside"
)

// MapSchema is the version of the form in which maps are written.
const MapSchema = "1"

// Maps is what rules do to packets from some zones: a map for each zone, protocol
// and family.
type Maps struct {
	SchemaVersion string `json:"schema_version"`
	// Source is the file of the rules, Live or Running.
	Source string `json:"source"`
	// Zones are those that were asked from.
	Zones []Place `json:"zones"`
	// Maps are in the order of zones, then by protocol and family.
	Maps []Map `json:"maps"`
	// Rules are those that decided, each once. Ranges name them by their place
	// here.
	Rules []Rule `json:"rules"`
	// Notes say what of the rules could not be asked as it is on a machine.
	Notes []string `json:"notes,omitempty"`
}

// Place is a zone and the addresses between which its packets went.
type Place struct {
	Zone string `json:"zone"`
	// Interface is where they came in.
	Interface string `json:"interface"`
	// From and To are the source and the destination, by family.
	From []netip.Addr `json:"from"`
	To   []netip.Addr `json:"to"`
}

// Map is the verdict of every port of one protocol and family, from one zone.
// For icmp, ports are types, with code 0.
type Map struct {
	Zone     string  `json:"zone"`
	Protocol string  `json:"protocol"`
	Family   string  `json:"family"`
	Ranges   []Range `json:"ranges"`
}

// Range is ports next to one another that get the same verdict by the same rule.
type Range struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	verdict.Verdict
	// Local says that the packet was refused on its way out.
	Local bool `json:"local,omitempty"`
	// Landed is where an accepted packet came to, if that was not where it was
	// sent. A port of 0 stands for each packet's own.
	Landed netip.AddrPort `json:"landed,omitzero"`
	// Rule is the place among Maps.Rules of the rule that decided; -1 where
	// there is no rule on the way.
	Rule int `json:"rule"`
}

// Ports is "22" or "1-21".
func (r Range) Ports() string { return portset.Range{First: r.First, Last: r.Last}.String() }

// At is the range that a port is in.
func (m Map) At(port uint16) (Range, bool) {
	i, found := slices.BinarySearchFunc(m.Ranges, port, func(r Range, port uint16) int {
		switch {
		case r.Last < port:
			return -1
		case r.First > port:
			return 1
		}
		return 0
	})
	if !found {
		return Range{}, false
	}
	return m.Ranges[i], true
}

// Find is the map of a zone, protocol and family.
func (m *Maps) Find(zone, protocol, family string) (Map, bool) {
	for _, one := range m.Maps {
		if one.Zone == zone && one.Protocol == protocol && one.Family == family {
			return one, true
		}
	}
	return Map{}, false
}

// Decided names the rule of a range; "" for a Running machine, where none is
// known.
func (m *Maps) Decided(r Range) string {
	if m.Source == Running {
		return ""
	}
	if r.Rule < 0 || r.Rule >= len(m.Rules) {
		return "no rule on the way"
	}
	return m.Rules[r.Rule].String()
}

// Outcome is the verdict with where the packet landed.
func (r Range) Outcome() string {
	switch {
	case r.Landed.IsValid() && r.Landed.Port() == 0:
		return fmt.Sprintf("%s at %s", r.Verdict, r.Landed.Addr())
	case r.Landed.IsValid():
		return fmt.Sprintf("%s at %s", r.Verdict, r.Landed)
	}
	return r.Verdict.String()
}
