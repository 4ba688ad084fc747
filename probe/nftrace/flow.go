package nftrace

import (
	"fmt"
	"net/netip"
)

// tablePrefix begins the names of the tables that mark packets.
const tablePrefix = "loopcheck_trace_"

// Flow says which packets are marked: those that have all of what is set. The
// zero value is every packet.
type Flow struct {
	// Protocol is TCP, UDP, ICMP, ICMPv6 or another number of IANA's; 0 is any.
	Protocol uint8 `json:"protocol,omitempty"`
	// Source and Destination are networks, those of one address too; the zero
	// Prefix is any.
	Source      netip.Prefix `json:"source"`
	Destination netip.Prefix `json:"destination"`
	// SourcePort and DestinationPort are for protocols that have ports; 0 is
	// any.
	SourcePort      uint16 `json:"source_port,omitempty"`
	DestinationPort uint16 `json:"destination_port,omitempty"`
}

// Reply is the flow in the other direction.
func (f Flow) Reply() Flow {
	f.Source, f.Destination = f.Destination, f.Source
	f.SourcePort, f.DestinationPort = f.DestinationPort, f.SourcePort
	return f
}

// Between is the flow of packets from one socket to another. An address that is
// the zero AddrPort is any; a port 0 is any.
func Between(protocol uint8, source, destination netip.AddrPort) Flow {
	return Flow{
		Protocol:        protocol,
		Source:          host(source.Addr()),
		Destination:     host(destination.Addr()),
		SourcePort:      source.Port(),
		DestinationPort: destination.Port(),
	}
}

func host(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen())
}

// validate finds what no packet could have.
func (f Flow) validate() error {
	ports := f.SourcePort != 0 || f.DestinationPort != 0
	switch {
	case f.Source.IsValid() && f.Destination.IsValid() && f.Source.Addr().Is4() != f.Destination.Addr().Is4():
		return fmt.Errorf("flow from %v to %v: two families", f.Source, f.Destination)
	case ports && f.Protocol != TCP && f.Protocol != UDP && f.Protocol != 33 && f.Protocol != 132 && f.Protocol != 136:
		return fmt.Errorf("flow with ports: protocol %d has none", f.Protocol)
	}
	return nil
}
