package socktable

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// Binding is an address that somebody wants to bind a socket to (bind(2)).
type Binding struct {
	// Protocol is TCP or UDP: the other protocols have no ports.
	Protocol Protocol
	Local    netip.AddrPort
	// Interface is the index of the one that the socket is bound to, 0 for none.
	Interface uint32
	// V6Only says that the socket has IPV6_V6ONLY set (ipv6(7)). Without it a
	// socket bound to :: takes the port of every IPv4 address as well.
	V6Only bool
}

func (b Binding) String() string { return b.Protocol.String() + " " + b.Local.String() }

// Holders lists the sockets of the table that stand in the way of a binding:
// what listens first, then what is bound, then connections, among them those
// in TIME_WAIT. All of them do so against a socket with neither SO_REUSEADDR
// nor SO_REUSEPORT set; where both sides have the former, only listeners do
// (socket(7)), and the kernel does not list who has. Port 0 conflicts with
// nothing.
func (t *Table) Holders(b Binding) []Socket {
	var found []Socket
	for i := range t.Sockets {
		if b.conflicts(&t.Sockets[i]) {
			found = append(found, t.Sockets[i])
		}
	}
	slices.SortStableFunc(found, func(a, b Socket) int { return cmp.Compare(a.rank(), b.rank()) })
	return found
}

// Holders asks the kernel which sockets stand in the way of a binding, with
// their owners; Table.Holders says which these are and in what order. No
// process is looked into where there is none. It fails where the kernel does
// not list the protocol.
func Holders(ctx context.Context, b Binding) ([]Socket, error) {
	if b.Protocol != TCP && b.Protocol != UDP {
		return nil, fmt.Errorf("find who holds %s: only tcp and udp have ports", b)
	}
	table, err := Read(ctx, Options{Protocols: []Protocol{b.Protocol}})
	if err != nil {
		return nil, fmt.Errorf("find who holds %s: %w", b, err)
	}
	for _, gap := range table.Gaps {
		if !gap.Listed {
			return nil, fmt.Errorf("find who holds %s: %s over %s: %w", b, gap.Protocol, gap.Family, gap.Err)
		}
	}
	found := Table{Sockets: table.Holders(b)}
	if err := found.readOwners(ctx); err != nil {
		return nil, fmt.Errorf("find who holds %s: %w", b, err)
	}
	return found.Sockets, nil
}

func (s *Socket) rank() int {
	switch {
	case s.Listens():
		return 0
	case s.State == sock.Closed:
		return 1
	case s.Inode != 0:
		return 2
	}
	return 3
}

func (b Binding) conflicts(s *Socket) bool {
	if s.Protocol != b.Protocol || b.Local.Port() == 0 || s.Local.Port() != b.Local.Port() {
		return false
	}
	// A handshake under way uses the port of its listener, and holds none.
	if s.State == sock.SynRecv {
		return false
	}
	if b.Interface != 0 && s.Interface.Index != 0 && b.Interface != s.Interface.Index {
		return false
	}
	return overlap(b.Local.Addr(), b.V6Only, s.Local.Addr(), s.V6Only == On)
}

// overlap says whether two sockets would claim one address. A wildcard claims
// all of its family, and :: without IPV6_V6ONLY those of IPv4 too.
func overlap(a netip.Addr, aV6Only bool, b netip.Addr, bV6Only bool) bool {
	a, b = a.Unmap().WithZone(""), b.Unmap().WithZone("")
	switch {
	case a.Is4() == b.Is4():
		return a == b || a.IsUnspecified() || b.IsUnspecified()
	case a.Is6():
		return a.IsUnspecified() && !aV6Only
	}
	return b.IsUnspecified() && !bV6Only
}

// Takes says whether a packet from the machine itself to an address and the
// port of a socket that listens would be its own. Such packets arrive through
// lo, whatever address they are for, so that a socket bound to another
// interface takes none of them (SO_BINDTODEVICE in socket(7)).
func (s *Socket) Takes(addr netip.Addr) bool {
	addr = addr.Unmap()
	own := s.Local.Addr().Unmap()
	scoped := addr.Is6() && addr.IsLinkLocalUnicast()
	if !s.Listens() || s.Interface.Index != 0 && s.Interface.Name != "lo" && !scoped {
		return false
	}
	if own.WithZone("") == addr.WithZone("") {
		return true
	}
	if !own.IsUnspecified() {
		return false
	}
	return own.Is4() == addr.Is4() || own.Is6() && s.V6Only != On
}
