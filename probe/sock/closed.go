package sock

import (
	"fmt"
	"net/netip"
)

// ClosedUDP takes a UDP port of the family's loopback address that is closed
// to everyone and stays so until held is closed. A connected socket receives
// from its peer alone (udp(7)), and this one's peer is itself: a datagram from
// any other port finds no receiver, and no other process can bind the port.
func ClosedUDP(family Family) (held *Socket, closed netip.AddrPort, err error) {
	s, err := New(UDP, family)
	if err != nil {
		return nil, netip.AddrPort{}, fmt.Errorf("hold a UDP port closed: %w", err)
	}
	if closed, err = s.connectToSelf(family); err != nil {
		_ = s.Close()
		return nil, netip.AddrPort{}, fmt.Errorf("hold a UDP port closed: %w", err)
	}
	return s, closed, nil
}

func (s *Socket) connectToSelf(family Family) (netip.AddrPort, error) {
	if err := s.Bind(family.Loopback(0)); err != nil {
		return netip.AddrPort{}, err
	}
	self, err := s.LocalAddr()
	if err != nil {
		return netip.AddrPort{}, err
	}
	return self, s.StartConnect(self)
}
