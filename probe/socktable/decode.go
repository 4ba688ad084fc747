package socktable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// Address families by the numbers of Linux, which a reply carries.
const (
	familyUnix = 1
	familyIPv4 = 2
	familyIPv6 = 10
)

// Sizes of the fixed parts of messages: struct inet_diag_req_v2 and
// inet_diag_msg (linux/inet_diag.h), struct unix_diag_req and unix_diag_msg
// (linux/unix_diag.h).
const (
	inetRequestSize = 56
	inetReplySize   = 72
	unixRequestSize = 24
	unixReplySize   = 16
)

// Attributes of a reply about an inet socket (linux/inet_diag.h).
const (
	inetShutdown = 8
	inetProtocol = 10
	inetV6Only   = 11
	inetCgroupID = 21
)

// Attributes of a reply about a unix socket (linux/unix_diag.h).
const (
	unixName     = 0
	unixVFS      = 1
	unixPeer     = 2
	unixRQLen    = 4
	unixShutdown = 6
	unixUID      = 7
)

// unixShow asks for name, file, peer, queue lengths and user (UDIAG_SHOW_*).
const unixShow = 0x01 | 0x02 | 0x04 | 0x10 | 0x40

// stateBoundInactive is how the kernel is asked for TCP sockets that are bound
// only (TCP_BOUND_INACTIVE, linux/tcp.h). It is a state of requests alone.
const stateBoundInactive = 13

// stateMask is the set of states as the kernel takes it; none means all.
func stateMask(states []sock.TCPState) uint32 {
	if len(states) == 0 {
		return ^uint32(0)
	}
	var mask uint32
	for _, state := range states {
		mask |= 1 << state
		if state == sock.Closed {
			mask |= 1 << stateBoundInactive
		}
	}
	return mask
}

// inetRequest asks for all sockets of a family and IP protocol.
func inetRequest(family, protocol uint8, states uint32) []byte {
	b := make([]byte, inetRequestSize)
	b[0], b[1] = family, protocol
	binary.NativeEndian.PutUint32(b[4:], states)
	return b
}

// unixRequest asks for all unix sockets.
func unixRequest(states uint32) []byte {
	b := make([]byte, unixRequestSize)
	b[0] = familyUnix
	binary.NativeEndian.PutUint32(b[4:], states)
	binary.NativeEndian.PutUint32(b[12:], unixShow)
	return b
}

var errShort = errors.New("message is cut short")

// decodeInet reads the payload of a reply of inet_diag.
func decodeInet(protocol Protocol, b []byte) (Socket, error) {
	if len(b) < inetReplySize {
		return Socket{}, fmt.Errorf("%s socket of %d bytes: %w", protocol, len(b), errShort)
	}
	s := Socket{
		Protocol:     protocol,
		State:        sock.TCPState(b[1]),
		Interface:    Interface{Index: binary.NativeEndian.Uint32(b[40:])},
		Cookie:       cookie(b[44:]),
		ReceiveQueue: binary.NativeEndian.Uint32(b[56:]),
		SendQueue:    binary.NativeEndian.Uint32(b[60:]),
		UID:          int64(binary.NativeEndian.Uint32(b[64:])),
		Inode:        binary.NativeEndian.Uint32(b[68:]),
	}
	var local, remote netip.Addr
	switch b[0] {
	case familyIPv4:
		s.Family = sock.IPv4
		local, remote = netip.AddrFrom4([4]byte(b[8:])), netip.AddrFrom4([4]byte(b[24:]))
	case familyIPv6:
		s.Family = sock.IPv6
		local, remote = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	default:
		return Socket{}, fmt.Errorf("%s socket of address family %d", protocol, b[0])
	}
	s.setEndpoints(local, binary.BigEndian.Uint16(b[4:]), remote, binary.BigEndian.Uint16(b[6:]))
	s.forgetUntoldUser()
	if s.State == stateBoundInactive {
		s.State = sock.Closed
	}

	attributes := b[inetReplySize:]
	for len(attributes) > 0 {
		var a attribute
		var err error
		if a, attributes, err = nextAttribute(attributes); err != nil {
			return Socket{}, fmt.Errorf("attributes of a %s socket: %w", protocol, err)
		}
		switch {
		case a.kind == inetShutdown && len(a.value) == 1:
			s.Shutdown = Shutdown(a.value[0])
		case a.kind == inetProtocol && len(a.value) == 1:
			s.IPProtocol = a.value[0]
		case a.kind == inetV6Only && len(a.value) == 1:
			s.V6Only = Off
			if a.value[0] != 0 {
				s.V6Only = On
			}
		case a.kind == inetCgroupID && len(a.value) == 8:
			s.CgroupID = binary.NativeEndian.Uint64(a.value)
		}
	}
	return s, nil
}

// setEndpoints tells a raw socket's protocol, which stands for a port, from a
// port, and a missing peer from one at address 0.
func (s *Socket) setEndpoints(local netip.Addr, localPort uint16, remote netip.Addr, remotePort uint16) {
	if s.Protocol == Raw {
		s.IPProtocol = uint8(localPort)
		localPort, remotePort = 0, 0
	}
	s.Local = netip.AddrPortFrom(local, localPort)
	if remotePort != 0 || !remote.IsUnspecified() {
		s.Remote = netip.AddrPortFrom(remote, remotePort)
	}
}

// forgetUntoldUser takes back a user that the kernel did not mean: it writes 0
// for what no process holds.
func (s *Socket) forgetUntoldUser() {
	if s.Inode == 0 && s.UID == 0 {
		s.UID = -1
	}
}

// decodeUnix reads the payload of a reply of unix_diag.
func decodeUnix(b []byte) (Socket, error) {
	if len(b) < unixReplySize {
		return Socket{}, fmt.Errorf("unix socket of %d bytes: %w", len(b), errShort)
	}
	if b[0] != familyUnix {
		return Socket{}, fmt.Errorf("unix socket of address family %d", b[0])
	}
	unix := &UnixDetails{Type: UnixType(b[1])}
	s := Socket{
		Protocol: Unix,
		Unix:     unix,
		State:    sock.TCPState(b[2]),
		Inode:    binary.NativeEndian.Uint32(b[4:]),
		Cookie:   cookie(b[8:]),
		UID:      -1,
	}
	attributes := b[unixReplySize:]
	for len(attributes) > 0 {
		var a attribute
		var err error
		if a, attributes, err = nextAttribute(attributes); err != nil {
			return Socket{}, fmt.Errorf("attributes of a unix socket: %w", err)
		}
		switch {
		case a.kind == unixName:
			unix.setName(a.value)
		case a.kind == unixVFS && len(a.value) == 8:
			unix.PathInode = binary.NativeEndian.Uint32(a.value)
			unix.PathDevice = binary.NativeEndian.Uint32(a.value[4:])
		case a.kind == unixPeer && len(a.value) == 4:
			unix.Peer = binary.NativeEndian.Uint32(a.value)
		case a.kind == unixRQLen && len(a.value) == 8:
			s.ReceiveQueue = binary.NativeEndian.Uint32(a.value)
			s.SendQueue = binary.NativeEndian.Uint32(a.value[4:])
		case a.kind == unixShutdown && len(a.value) == 1:
			s.Shutdown = Shutdown(a.value[0])
		case a.kind == unixUID && len(a.value) == 4:
			s.UID = int64(binary.NativeEndian.Uint32(a.value))
		}
	}
	s.forgetUntoldUser()
	return s, nil
}

// attribute is one struct nlattr (netlink(7)).
type attribute struct {
	kind  uint16
	value []byte
}

// nextAttribute takes the first attribute off b. The decoder of the netlink
// package copies every value, which for a long list costs as much as all else.
func nextAttribute(b []byte) (a attribute, rest []byte, err error) {
	const header = 4
	if len(b) < header {
		return a, nil, errShort
	}
	length := int(binary.NativeEndian.Uint16(b))
	if length < header || length > len(b) {
		return a, nil, fmt.Errorf("attribute of %d bytes in %d: %w", length, len(b), errShort)
	}
	// The upper two bits say how to read the value, and are of no use here.
	a.kind = binary.NativeEndian.Uint16(b[2:]) & 0x3fff
	a.value = b[header:length]
	return a, b[min((length+3)&^3, len(b)):], nil
}

// setName takes sun_path: a path up to its NUL, or after a leading NUL an
// abstract name, all of whose bytes count (unix(7)).
func (u *UnixDetails) setName(b []byte) {
	if len(b) > 0 && b[0] == 0 {
		u.Abstract, u.Name = true, string(b[1:])
		return
	}
	u.Name, _, _ = strings.Cut(string(b), "\x00")
}

// cookie reads struct sock_diag's two words, the lower one first.
func cookie(b []byte) uint64 {
	return uint64(binary.NativeEndian.Uint32(b)) | uint64(binary.NativeEndian.Uint32(b[4:]))<<32
}
