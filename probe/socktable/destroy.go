package socktable

import (
	"encoding/binary"
	"net/netip"
)

// noCookie stands for a socket's cookie where that is not known
// (INET_DIAG_NOCOOKIE, linux/inet_diag.h).
const noCookie = ^uint32(0)

// tcpNumber is that of IPPROTO_TCP.
const tcpNumber = 6

// pairRequest asks for the one TCP socket between two ends.
func pairRequest(local, remote netip.AddrPort) []byte {
	family := uint8(familyIPv6)
	if local.Addr().Is4() {
		family = familyIPv4
	}
	b := inetRequest(family, tcpNumber, stateMask(nil))
	binary.BigEndian.PutUint16(b[8:], local.Port())
	binary.BigEndian.PutUint16(b[10:], remote.Port())
	copy(b[12:28], local.Addr().AsSlice())
	copy(b[28:44], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint32(b[48:], noCookie)
	binary.NativeEndian.PutUint32(b[52:], noCookie)
	return b
}
