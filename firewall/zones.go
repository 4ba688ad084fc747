package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/stage"
)

// UnknownZoneError says that the rules know no such zone.
type UnknownZoneError struct {
	Zone  string
	Known []string
}

func (e *UnknownZoneError) Error() string {
	return fmt.Sprintf("there is no zone %q: write one of %s", e.Zone, strings.Join(e.Known, ", "))
}

// uplinks are names that an interface to the outside usually has, by how
// common they are.
var uplinks = regexp.MustCompile(`^(?:eth|en[opsx]|wan|ppp|wl|bond|team|ext|uplink|venet)`)

// uplinkOf is the interface that leads outside.
func uplinkOf(names []string) string {
	for _, name := range names {
		if uplinks.MatchString(name) {
			return name
		}
	}
	return "eth0"
}

// zonesOf are the zones around a machine with such rules, of which the first is
// outside. Every interface that the rules name is one.
func zonesOf(r *Rules, o Options) []stage.Zone {
	names := r.interfaces()
	switch {
	case o.Uplink != "":
	case stageable(r.around.uplink):
		o.Uplink = r.around.uplink
	default:
		o.Uplink = uplinkOf(names)
	}
	if len(o.Address) == 0 {
		o.Address = r.around.at(o.Uplink, 0, nil)
	}
	zones := []stage.Zone{{Name: Outside, Interface: o.Uplink, Machine: o.Address}}
	for _, name := range names {
		if name != o.Uplink && len(zones) < maxInterfaces {
			zones = append(zones, stage.Zone{Name: name, Interface: name, Machine: r.around.at(name, len(zones), zones)})
		}
	}
	behind, taken := r.Behind(), map[netip.Prefix]bool{}
	for i := range zones {
		for _, network := range behind[zones[i].Interface] {
			// To the first there is a route for everything.
			if i > 0 && !taken[network] && !among(zones, network) {
				taken[network] = true
				zones[i].Beyond = append(zones[i].Beyond, network)
			}
		}
	}
	return zones
}

// absent says that the machine whose rules these are lacks an interface.
func (r *Rules) absent(name string) bool {
	_, there := r.Interfaces[name]
	return r.Source == Live && !there
}

// among says that a network has addresses in common with that of a zone's cable.
func among(zones []stage.Zone, network netip.Prefix) bool {
	return slices.ContainsFunc(zones, func(z stage.Zone) bool {
		return slices.ContainsFunc(z.Machine, network.Overlaps)
	})
}

// from are the names of the zones that are asked from.
func from(r *Rules, o Options, zones []stage.Zone) ([]string, error) {
	known, there := []string{Loopback}, []string{Loopback}
	for i, z := range zones {
		known = append(known, z.Name)
		if i == 0 || !r.absent(z.Interface) {
			there = append(there, z.Name)
		}
	}
	if len(o.From) == 0 {
		return there, nil
	}
	return chosen(o.From, known, func(zone string) string {
		if zone == zones[0].Interface {
			return Outside
		}
		return zone
	})
}

// chosen are the zones that are asked for, each once, by the names that called
// gives them.
func chosen(asked, known []string, called func(string) string) ([]string, error) {
	var zones []string
	for _, zone := range asked {
		name := called(zone)
		if !slices.Contains(known, name) {
			return nil, &UnknownZoneError{zone, known}
		}
		if !slices.Contains(zones, name) {
			zones = append(zones, name)
		}
	}
	return zones, nil
}
