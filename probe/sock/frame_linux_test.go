package sock

import (
	"encoding/binary"
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/checksum"
)

// A sum over what holds its own checksum is 0 where that is right (RFC 1071).
func TestForgedPacketsHaveRightChecksums(t *testing.T) {
	for name, ends := range map[string][2]netip.AddrPort{
		"IPv4":             {netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("192.0.2.1:7777")},
		"IPv6":             {netip.MustParseAddrPort("[::1]:40000"), netip.MustParseAddrPort("[2001:db8::1]:7777")},
		"IPv4 within IPv6": {netip.MustParseAddrPort("[::ffff:127.0.0.1]:40000"), netip.MustParseAddrPort("[2001:db8::1]:7777")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			from, to := ends[0], ends[1]
			for protocol, packet := range map[byte][]byte{
				unix.IPPROTO_UDP: UDPPacket(from, to, []byte("an odd number of bytes.")),
				unix.IPPROTO_TCP: SYNPacket(from, to),
			} {
				header, lengthAt, counted := 40, 4, 0
				if to.Addr().Is4() {
					header, lengthAt, counted = 20, 2, 20
					g.Expect(checksum.Of(packet[:header])).To(BeZero(), "of the header")
				}
				segment := packet[header:]
				g.Expect(int(binary.BigEndian.Uint16(packet[lengthAt:]))).To(Equal(len(segment)+counted), "the length of protocol %d", protocol)
				g.Expect(transportChecksum(protocol, from.Addr(), to.Addr(), segment)).To(BeZero(), "of protocol %d", protocol)
				g.Expect(binary.BigEndian.Uint16(segment)).To(Equal(from.Port()))
				g.Expect(binary.BigEndian.Uint16(segment[2:])).To(Equal(to.Port()))
			}
		})
	}
}

func TestFramesNeedAnInterface(t *testing.T) {
	_, err := OpenFrames("nosuch0")
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("look for nosuch0")))
}
