// Package errqueue decodes what a socket's error queue holds of ICMP errors
// (MSG_ERRQUEUE in recv(2), IP_RECVERR in ip(7), IPV6_RECVERR in ipv6(7)).
package errqueue

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ControlBytes is room enough for the control messages of one entry: the error
// and the address of who sent it.
const ControlBytes = 256

// Error is an ICMP or, over IPv6, ICMPv6 error, with what the kernel makes of
// it.
type Error struct {
	Type, Code uint8
	IPv6       bool
	Errno      syscall.Errno
}

// Enable has the kernel queue the errors that reach a socket from now on.
func Enable(fd int, ipv6 bool) error {
	if ipv6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
}

// Decode finds the ICMP error in the control messages of an entry. Other
// errors, as those of this machine's own making, are none.
func Decode(control []byte) (Error, bool) {
	const extended = int(unsafe.Sizeof(unix.SockExtendedErr{}))
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(h.Len)
		if length < unix.CmsgLen(0) || length > len(control) {
			return Error{}, false
		}
		data := control[unix.CmsgLen(0):length]
		isError := h.Level == unix.IPPROTO_IP && h.Type == unix.IP_RECVERR ||
			h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_RECVERR
		if isError && len(data) >= extended {
			if e, ok := decode((*unix.SockExtendedErr)(unsafe.Pointer(&data[0]))); ok {
				return e, true
			}
		}
		control = control[min(unix.CmsgSpace(length-unix.CmsgLen(0)), len(control)):]
	}
	return Error{}, false
}

func decode(e *unix.SockExtendedErr) (Error, bool) {
	if e.Origin != unix.SO_EE_ORIGIN_ICMP && e.Origin != unix.SO_EE_ORIGIN_ICMP6 {
		return Error{}, false
	}
	return Error{Type: e.Type, Code: e.Code, IPv6: e.Origin == unix.SO_EE_ORIGIN_ICMP6, Errno: syscall.Errno(e.Errno)}, true
}
