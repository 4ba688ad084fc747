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

// SendFrames sends IP packets to a neighbour, on Linux.
func SendFrames(string, net.HardwareAddr, ...[]byte) error { return errUnsupported }
