package sock

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/checksum"
)

// hops is how many routers a forged packet may pass.
const hops = 64

// UDPPacket is a datagram with its IP header as it goes over the wire, all
// checksums right (RFC 768). The addresses are of one family and need not be the
// machine's; an IPv4 address as IPv6 has it (::ffff:192.0.2.1) is one of IPv6.
func UDPPacket(from, to netip.AddrPort, payload []byte) []byte {
	datagram := forgedUDP(from, to, payload)
	binary.BigEndian.PutUint16(datagram[udpChecksumAt:], rightChecksum(from.Addr(), to.Addr(), datagram))
	return wrapIP(unix.IPPROTO_UDP, from.Addr(), to.Addr(), datagram)
}

// SYNPacket is what asks for a connection, as UDPPacket is a datagram (RFC 9293
// 3.1).
func SYNPacket(from, to netip.AddrPort) []byte {
	const headerBytes, offsetAt, flagsAt, windowAt, checksumAt, syn = 20, 12, 13, 14, 16, 0x02
	segment := make([]byte, headerBytes)
	binary.BigEndian.PutUint16(segment, from.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	segment[offsetAt], segment[flagsAt] = headerBytes/4<<4, syn
	binary.BigEndian.PutUint16(segment[windowAt:], 65535)
	binary.BigEndian.PutUint16(segment[checksumAt:], transportChecksum(unix.IPPROTO_TCP, from.Addr(), to.Addr(), segment))
	return wrapIP(unix.IPPROTO_TCP, from.Addr(), to.Addr(), segment)
}

// wrapIP puts a header before a segment (RFC 791, RFC 8200).
func wrapIP(protocol byte, from, to netip.Addr, segment []byte) []byte {
	if to.Is4() {
		const headerBytes, totalAt, ttlAt, protocolAt, checksumAt, fromAt, toAt = 20, 2, 8, 9, 10, 12, 16
		header := make([]byte, headerBytes)
		header[0] = 4<<4 | headerBytes/4
		binary.BigEndian.PutUint16(header[totalAt:], uint16(headerBytes+len(segment)))
		header[ttlAt], header[protocolAt] = hops, protocol
		copy(header[fromAt:], from.AsSlice())
		copy(header[toAt:], to.AsSlice())
		binary.BigEndian.PutUint16(header[checksumAt:], checksum.Of(header))
		return append(header, segment...)
	}
	const headerBytes, lengthAt, nextAt, hopsAt, fromAt, toAt = 40, 4, 6, 7, 8, 24
	header := make([]byte, headerBytes)
	header[0] = 6 << 4
	binary.BigEndian.PutUint16(header[lengthAt:], uint16(len(segment)))
	header[nextAt], header[hopsAt] = protocol, hops
	copy(header[fromAt:], from.AsSlice())
	copy(header[toAt:], to.AsSlice())
	return append(header, segment...)
}

// Frames sends IP packets out at one interface, as they are. Neither routes nor
// rules of the IP hooks see them (packet(7)).
type Frames struct{ fd, link int }

// OpenFrames opens an interface to send at. It takes CAP_NET_RAW. Closing waits
// until every processor has let go of it, for some milliseconds: keep it where
// more will be sent.
func OpenFrames(out string) (*Frames, error) {
	link, err := net.InterfaceByName(out)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", out, err)
	}
	// Of protocol 0: it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return &Frames{fd: fd, link: link.Index}, nil
}

// Send sends packets, in this order, to the neighbour on the cable who has that
// MAC address.
func (f *Frames) Send(to net.HardwareAddr, packets ...[]byte) error {
	for _, packet := range packets {
		protocol := uint16(unix.ETH_P_IP)
		if packet[0]>>4 == 6 {
			protocol = unix.ETH_P_IPV6
		}
		neighbour := &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: f.link, Halen: uint8(len(to))}
		copy(neighbour.Addr[:], to)
		if err := uninterrupted(func() error { return unix.Sendto(f.fd, packet, 0, neighbour) }); err != nil {
			return fmt.Errorf("send a packet to %s: %w", to, err)
		}
	}
	return nil
}

// Close closes the socket.
func (f *Frames) Close() error { return unix.Close(f.fd) }

// networkOrder is a number whose bytes in memory are in the network's order
// (htons(3)).
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
