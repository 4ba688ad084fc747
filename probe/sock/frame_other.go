//go:build !linux

package sock

import (
	"net"
	"net/netip"
)

// UDPPacket is a datagram with its IP header, on Linux.
func UDPPacket(netip.AddrPort, netip.AddrPort, []byte) []byte { return nil }

// SYNPacket is what asks for a connection, with its IP header, on Linux.
func SYNPacket(netip.AddrPort, netip.AddrPort) []byte { return nil }

// Frames sends IP packets out at one interface, on Linux.
type Frames struct{}

func OpenFrames(string) (*Frames, error)                 { return nil, errUnsupported }
func (f *Frames) Send(net.HardwareAddr, ...[]byte) error { return errUnsupported }
func (f *Frames) Close() error                           { return errUnsupported }
