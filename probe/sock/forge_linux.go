package sock

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/checksum"
)

// ForgeUDP sends one datagram over IPv4 with a checksum of the caller's making,
// who is given the right one (RFC 768). It takes CAP_NET_RAW (raw(7)).
func ForgeUDP(from, to netip.AddrPort, payload []byte, forged func(right uint16) uint16) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.Addr().As4()}); err != nil {
		return fmt.Errorf("bind a raw socket to %s: %w", from.Addr(), err)
	}
	datagram := forgedUDP(from, to, payload)
	binary.BigEndian.PutUint16(datagram[udpChecksumAt:], forged(rightChecksum(from.Addr(), to.Addr(), datagram)))
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
	return checksum.Fold(checksum.Sum(checksum.Sum(0, pseudo), segment))
}
