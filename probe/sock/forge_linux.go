package sock

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ForgeUDP sends one datagram over IPv4 with a checksum of the caller's making,
// who is given the right one (RFC 768). It takes CAP_NET_RAW (raw(7)).
func ForgeUDP(from, to netip.AddrPort, payload []byte, checksum func(right uint16) uint16) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.Addr().As4()}); err != nil {
		return fmt.Errorf("bind a raw socket to %s: %w", from.Addr(), err)
	}
	datagram := forgedUDP(from, to, payload)
	binary.BigEndian.PutUint16(datagram[udpChecksumAt:], checksum(rightChecksum(from.Addr(), to.Addr(), datagram)))
	if err := unix.Sendto(fd, datagram, unix.MSG_NOSIGNAL, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
		return fmt.Errorf("send a UDP datagram over a raw socket to %s: %w", to, err)
	}
	return nil
}

const (
	udpHeaderBytes = 8
	udpChecksumAt  = 6
)

// forgedUDP is a datagram whose checksum is still 0.
func forgedUDP(from, to netip.AddrPort, payload []byte) []byte {
	datagram := make([]byte, udpHeaderBytes, udpHeaderBytes+len(payload))
	binary.BigEndian.PutUint16(datagram[0:], from.Port())
	binary.BigEndian.PutUint16(datagram[2:], to.Port())
	binary.BigEndian.PutUint16(datagram[4:], uint16(udpHeaderBytes+len(payload)))
	return append(datagram, payload...)
}

// rightChecksum is that of a datagram; where it is 0, all ones stand for it
// (RFC 768).
func rightChecksum(from, to netip.Addr, datagram []byte) uint16 {
	if sum := transportChecksum(unix.IPPROTO_UDP, from, to, datagram); sum != 0 {
		return sum
	}
	return 0xffff
}

// transportChecksum is the ones' complement sum over the pseudo header and the
// segment (RFC 768, RFC 9293 3.1, RFC 8200 8.1).
func transportChecksum(protocol byte, from, to netip.Addr, segment []byte) uint16 {
	pseudo := append(from.AsSlice(), to.AsSlice()...)
	pseudo = append(pseudo, 0, protocol)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(segment)))
	all := append(pseudo, segment...)
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	return internetChecksum(all)
}

// internetChecksum is that of an even number of bytes (RFC 1071).
func internetChecksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
