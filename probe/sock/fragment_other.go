//go:build !linux

package sock

import "net/netip"

// Fragment is a piece of an IPv4 datagram on Linux. Nothing sends one here.
type Fragment struct {
	From, To netip.Addr
	ID       uint16
	Offset   int
	More     bool
	Protocol uint8
	Payload  []byte
}

func (f Fragment) Send() error { return errUnsupported }
