package sock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OriginalDestination is where a TCP connection was sent before rules gave it
// another destination, as connection tracking remembers it (SO_ORIGINAL_DST in
// linux/netfilter_ipv4.h, IP6T_SO_ORIGINAL_DST in linux/netfilter_ipv6/
// ip6_tables.h); the zero AddrPort of one that is not tracked.
func (s *Socket) OriginalDestination() (netip.AddrPort, error) {
	const originalDestination = 80
	var name unix.RawSockaddrInet6 // the larger of the two families
	size, level := uint32(unsafe.Sizeof(name)), unix.IPPROTO_IP
	if s.family == IPv6 {
		level = unix.IPPROTO_IPV6
	}
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), uintptr(level), originalDestination,
		uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size)), 0)
	switch {
	case errors.Is(errno, unix.ENOENT), errors.Is(errno, unix.ENOPROTOOPT):
		return netip.AddrPort{}, nil
	case errno != 0:
		return netip.AddrPort{}, fmt.Errorf("read the original destination of a connection: %w", errno)
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if s.family == IPv6 {
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), port), nil
	}
	return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&name)).Addr), port), nil
}
