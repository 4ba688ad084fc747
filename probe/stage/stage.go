// Package stage sets up a machine whose firewall is to be asked: a network
// namespace for the machine, and one for each zone around it, joined to it by a
// cable whose end at the machine has the name that the rules know.
//
// Neighbours are known in advance, so that rules which drop neighbour
// discovery do not hide what they do to everything else. No ICMP error is held
// back. The machine routes what goes nowhere else to its first zone.
package stage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Machine is the name of the machine's own zone.
const Machine = "machine"

// hostInterface is what a zone's end of its cable is called.
const hostInterface = "up0"

// Zone is a network around the machine.
type Zone struct {
	Name string `json:"name"`
	// Interface is the machine's, at the zone's cable.
	Interface string `json:"interface"`
	// Machine are the machine's addresses at that interface, with the length of
	// the network, at most one of each family that the zone has.
	Machine []netip.Prefix `json:"machine,omitempty"`
	// Beyond are networks that the machine reaches through the zone's host,
	// beside the cable's own.
	Beyond []netip.Prefix `json:"beyond,omitempty"`
}

// Config is what the stage is made of.
type Config struct {
	// Zones are those around the machine. What goes nowhere else goes to the
	// first.
	Zones []Zone
	// Interfaces are others that the machine has. They lead nowhere.
	Interfaces []string
	// Own are addresses that the machine has at lo, beside those at its cables.
	Own []netip.Addr
	// Forwards says that the machine is a router.
	Forwards bool
}

// Stage is a machine and what is around it.
type Stage struct {
	*sandbox.Sandbox
	// Sweep is what package sweep has to know.
	Sweep sweep.Machine
	// WithoutIPv6 says why there is no IPv6; "" where there is.
	WithoutIPv6 string
	zones       map[string]Zone
}

// Defaults are the addresses of a zone that names none, the first of them those
// of the first zone. They are not of the ranges that are kept for examples or
// private networks: rules drop those from outside.
func Defaults(place int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 20, byte(20 + place), 1}), 24),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 0x10, 0, 0x20, 0, 0x20, 0, byte(20 + place), 15: 1}), 64),
	}
}

// Host is the address of a zone's host: the one after the machine's, or, where
// that is the network's last, the one before.
func Host(machine netip.Prefix) netip.Addr {
	next := machine.Addr().Next()
	if last := next.Next(); machine.Contains(next) && (machine.Addr().Is6() || machine.Contains(last)) {
		return next
	}
	return machine.Addr().Prev()
}

// Own is the machine's address at a zone's interface, the zero Addr where it
// has none of the family. That of Machine is of lo.
func (s *Stage) Own(zone string, family sock.Family) netip.Addr {
	if zone == Machine {
		return family.Loopback(0).Addr()
	}
	for _, p := range s.zones[zone].Machine {
		if p.Addr().Is6() == (family == sock.IPv6) {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Host is the address of a zone's host, the zero Addr where there is none of
// the family. That of Machine is of lo.
func (s *Stage) Host(zone string, family sock.Family) netip.Addr {
	if zone == Machine {
		return family.Loopback(0).Addr()
	}
	for _, p := range s.zones[zone].Machine {
		if p.Addr().Is6() == (family == sock.IPv6) {
			return Host(p)
		}
	}
	return netip.Addr{}
}

// Families are those that there are.
func (s *Stage) Families() []sock.Family {
	if s.WithoutIPv6 != "" {
		return []sock.Family{sock.IPv4}
	}
	return []sock.Family{sock.IPv4, sock.IPv6}
}

// Start sets the stage. Its errors are sandbox.Start's, and those of what is
// asked for and cannot be: names of interfaces, addresses.
func Start(ctx context.Context, c Config) (*Stage, error) {
	s := &Stage{Sweep: sweep.Machine{Zone: Machine, Cables: map[string]sweep.Cable{}}, zones: map[string]Zone{}}
	box := sandbox.Config{Zones: []string{Machine}}
	o := order{Config: c}
	for i := range o.Zones {
		z := &o.Zones[i]
		if len(z.Machine) == 0 {
			z.Machine = Defaults(i)
		}
		box.Zones = append(box.Zones, z.Name)
		box.Links = append(box.Links, sandbox.Link{
			A: sandbox.End{Zone: Machine, Name: z.Interface},
			B: sandbox.End{Zone: z.Name, Name: hostInterface},
		})
		s.Sweep.Cables[z.Name] = sweep.Cable{Interface: hostInterface, Far: z.Interface}
		s.zones[z.Name] = *z
	}
	const nowhere = "nowhere"
	for i, name := range c.Interfaces {
		if !slices.Contains(box.Zones, nowhere) {
			box.Zones = append(box.Zones, nowhere)
		}
		box.Links = append(box.Links, sandbox.Link{
			A: sandbox.End{Zone: Machine, Name: name},
			B: sandbox.End{Zone: nowhere, Name: fmt.Sprintf("end%d", i)},
		})
	}
	var err error
	if s.Sandbox, err = sandbox.Start(ctx, box); err != nil {
		return nil, err
	}
	if s.WithoutIPv6, err = set.Call(ctx, s.Sandbox, Machine, o); err != nil {
		return nil, errors.Join(fmt.Errorf("set up the zones: %w", err), s.Close())
	}
	return s, nil
}

type order struct {
	Config
}

var set = sandbox.Register("stage/set", func(ctx context.Context, in *sandbox.Inside, o order) (withoutIPv6 string, err error) {
	return setInside(ctx, in, o)
})
