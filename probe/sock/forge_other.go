//go:build !linux

package sock

import "net/netip"

// ForgeUDP sends one datagram with a checksum of the caller's making, on Linux.
func ForgeUDP(netip.AddrPort, netip.AddrPort, []byte, func(uint16) uint16) error {
	return errUnsupported
}
