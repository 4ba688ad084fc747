// Package sweep answers what a sandbox's netfilter rules do to packets to many
// ports, all 65,535 of them in a fraction of a second, and exactly.
//
// A base chain of its own, the last of the hooks input and postrouting, records
// in a set what the rules let through, and takes it off its way there, so that
// no program has to listen, nothing answers, and connection tracking keeps
// nothing. What the rules reject is told by the RST or the ICMP error that comes
// back. A frame that follows the packets through the same queue says when the
// last of them was dealt with: what is neither recorded nor answered by then was
// dropped, and nothing is waited for.
//
// A packet names itself where hardly a rule looks: a SYN in its sequence number,
// a datagram in its payload, an ICMP message in what follows its checksum.
//
// What a packet changes, the next one meets: limits that were used up, sets that
// were added to. Ruleset.Fresh of probe/ruleset makes a copy of rules that takes
// each packet for the first.
package sweep

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// Protocol is tcp, udp, or icmp, which over IPv6 is ICMPv6.
type Protocol string

const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

// State is what connection tracking takes a packet for (nft(8), ct state).
type State string

const (
	// New: a SYN, or the first datagram.
	New State = "new"
	// Established: an acknowledgement, or a datagram, of a connection that has
	// seen packets both ways.
	Established State = "established"
	// Related: an ICMP error, destination unreachable for its port, about a
	// connection that has seen packets both ways. Its only type is 3, of ICMPv6 1.
	Related State = "related"
	// Invalid: a SYN-ACK that answers nothing, or a datagram whose checksum is
	// wrong, which is seen only where it comes in from outside.
	Invalid State = "invalid"
)

// Sweep is one question: what becomes of packets that differ in their port
// alone.
type Sweep struct {
	// Zone is where they are sent.
	Zone string `json:"zone"`
	// Source need not be an address that the zone has, unless that is the
	// machine itself.
	Source netip.Addr `json:"source"`
	To     netip.Addr `json:"to"`
	// SourcePort is one of the ephemeral range where it is 0, and not for all
	// ports the same.
	SourcePort uint16   `json:"source_port,omitempty"`
	Protocol   Protocol `json:"protocol"`
	// State is New where it is "". A packet that is to be new does not belong to
	// a connection that another sweep of the call has made.
	State State `json:"state,omitempty"`
	// Ports are where they go, one packet each; for ICMP they are types. A
	// range here may begin at 0.
	Ports []portset.Range `json:"ports"`
	// Burst, where it is not 0, is how many packets go to the first port alone,
	// one after the other without a pause, each from SourcePort, or from a port
	// of its own where that is 0. The runs of the result number the packets from
	// 1.
	Burst uint16 `json:"burst,omitempty"`
}

// sourcePorts are those of the ephemeral range that packets come from, one after
// the other.
var sourcePorts = map[State]uint16{"": 54321, New: 54321, Established: 54320, Invalid: 54322, Related: 54323}

// Table is the name of the table that records, in family inet. Once it is there
// it may stay as long as the sandbox.
const Table = "loopcheck_sweep"

// Run is ports next to one another to which the same happens.
type Run struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	verdict.Verdict
	// Local says that the kernel refused to send the packet: a rule of the output
	// or postrouting hook dropped or rejected it (EPERM), or sent it where no
	// route leads.
	Local bool `json:"local,omitempty"`
	// Landed is where an accepted packet came to, if that was not where it was
	// sent. A port of 0 stands for each packet's own.
	Landed netip.AddrPort `json:"landed,omitzero"`
}

// Machine is the zone whose rules are asked, and the ends of its cables.
type Machine struct {
	Zone string `json:"zone"`
	// Cables are by the zone at their other end.
	Cables map[string]Cable `json:"cables,omitempty"`
}

// Cable is a link between a zone and the machine.
type Cable struct {
	// Interface is that of the zone, Far the machine's.
	Interface string `json:"interface"`
	Far       string `json:"far"`
}

// order is what a call takes into the sandbox.
type order struct {
	Machine Machine `json:"machine"`
	Sweeps  []Sweep `json:"sweeps"`
}

// Ask sends all packets of some sweeps and returns the runs of each, which cover
// its ports in ascending order. It takes a sandbox in which the machine's
// zone has rules.
//
// The error is for what is no verdict: a kernel without dynamic sets, a sandbox
// that ended, the end of the context.
func Ask(ctx context.Context, s *sandbox.Sandbox, machine Machine, sweeps []Sweep) ([][]Run, error) {
	for _, one := range sweeps {
		if err := one.validate(machine); err != nil {
			return nil, fmt.Errorf("sweep %s of %s: %w", one.Protocol, one.To, err)
		}
	}
	return ask.Call(ctx, s, machine.Zone, order{machine, sweeps})
}

var ask = sandbox.Register("sweep/ask", func(ctx context.Context, in *sandbox.Inside, o order) ([][]Run, error) {
	return askInside(ctx, in, o)
})

// RelatedTypes is the type of ICMP that is asked about in the state related.
func RelatedTypes(ipv6 bool) []portset.Range {
	if ipv6 {
		return []portset.Range{{First: 1, Last: 1}}
	}
	return []portset.Range{{First: 3, Last: 3}}
}

func (s Sweep) validate(machine Machine) error {
	switch {
	case s.Protocol != TCP && s.Protocol != UDP && s.Protocol != ICMP:
		return fmt.Errorf("protocol %q is not asked", s.Protocol)
	case s.Source.Is4() != s.To.Is4():
		return fmt.Errorf("from %s: another family", s.Source)
	case s.Protocol == ICMP && (s.State == Established || s.State == Invalid), s.Protocol != ICMP && s.State == Related:
		return fmt.Errorf("of %s the state %s is not asked", s.Protocol, s.State)
	case s.State == Related && !slices.Equal(s.Ports, RelatedTypes(s.To.Is6())):
		return fmt.Errorf("of the state related no other type is asked than destination unreachable")
	case s.Zone == machine.Zone:
		return nil
	}
	if _, known := machine.Cables[s.Zone]; !known {
		return fmt.Errorf("no cable leads to zone %q", s.Zone)
	}
	return nil
}

// Stop takes away what Ask and Trace keep in a sandbox for the next call, so that
// real connections meet nothing but the rules.
func Stop(ctx context.Context, s *sandbox.Sandbox, machine Machine) error {
	_, err := stop.Call(ctx, s, machine.Zone, struct{}{})
	return err
}

var stop = sandbox.Register("sweep/stop", func(context.Context, *sandbox.Inside, struct{}) (struct{}, error) {
	return struct{}{}, stopInside()
})
