package sock

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Fragment is a piece of an IPv4 datagram (RFC 791 3.2).
type Fragment struct {
	From, To netip.Addr
	// ID is what the pieces of one datagram have in common.
	ID uint16
	// Offset is where the piece begins in the datagram, a multiple of 8 bytes.
	Offset int
	// More says that others follow.
	More bool
	// Protocol is the number of what the datagram carries, 17 for UDP.
	Protocol uint8
	Payload  []byte
}

// Send sends the fragment alone, over a raw socket. It takes CAP_NET_RAW
// (raw(7), IP_HDRINCL).
func (f Fragment) Send() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, f.packet(), unix.MSG_NOSIGNAL, &unix.SockaddrInet4{Addr: f.To.As4()}); err != nil {
		return fmt.Errorf("send a fragment over a raw socket to %s: %w", f.To, err)
	}
	return nil
}

// packet leaves the checksum of the header to the kernel.
func (f Fragment) packet() []byte {
	const (
		header        = 20
		versionLength = 0x45
		more          = 1 << 13
		ttl           = 64
	)
	p := make([]byte, header, header+len(f.Payload))
	p[0] = versionLength
	binary.BigEndian.PutUint16(p[2:], uint16(header+len(f.Payload)))
	binary.BigEndian.PutUint16(p[4:], f.ID)
	flags := uint16(f.Offset / 8)
	if f.More {
		flags |= more
	}
	binary.BigEndian.PutUint16(p[6:], flags)
	p[8], p[9] = ttl, f.Protocol
	from, to := f.From.As4(), f.To.As4()
	copy(p[12:], from[:])
	copy(p[16:], to[:])
	return append(p, f.Payload...)
}
