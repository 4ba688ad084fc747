package socktable

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// Replies of Linux 6.18 on a little-endian machine.
var (
	inetReplies = []string{
		// A TCP listener of IPv4, a connection, TIME_WAIT over both families.
		"020a000007e8000000000000000000000000000000000000000000000000000000000000000000000000000001200000000000000000000000000000800000000000000034040000050008000000000008000f00000000000c00150001000000000000000600160052000000",
		"02010200951dd63e7f0000010000000000000000000000007f00000100000000000000000000000000000000bcb7000000000000983a000000000000000000000000000076695a00050008000000000008000f00000000000c00150001000000000000000600160052000000",
		"02060300d8d1b22a7f0000010000000000000000000000007f0000010000000000000000000000000000000089b7000000000000408c00000000000000000000000000000000000008000f0000000000",
		"0a060300887ae7e10000000000000000000000000000000100000000000000000000000000000001000000007eb7000000000000fc2600000000000000000000000000000000000008000f0000000000",
		// A TCP listener and a UDP socket of IPv6.
		"0a0a000097410000000000000000000000000000000000000000000000000000000000000000000000000000bfb70000000000000000000000000000001000000000000079695a00050008000000000005000b000100000008000f00000000000c00150001000000000000000600160012000000",
		"0a070000e3df0000000000000000000000000000000000010000000000000000000000000000000000000000c0b7000000000000000000000000000000000000000000007b695a00050008000000000005000b000100000008000f00000000000c00150001000000000000000600160010000000",
	}
	unixReplies = []string{
		// A datagram and a stream pair's end, and a listener at a path without the
		// user, which old kernels do not tell.
		"010201007f695a00c1b7000000000000080002007e695a000c000400000000000000000005000600000000000800070000000000",
		"01010100f9675a00c2b700000000000008000200fa675a000c000400000000000000000005000600000000000800070000000000",
		"01010a007c695a00c4b7000000000000120000002f746d702f6361702e736f636b0000000c000100964498000000e00f0c00040000000000001000000500060000000000",
	}
)

func replies(tb testing.TB, list []string) [][]byte {
	tb.Helper()
	var all [][]byte
	for _, text := range list {
		b, err := hex.DecodeString(text)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func FuzzDecodeInet(f *testing.F) {
	for _, b := range replies(f, inetReplies) {
		f.Add(b, uint8(TCP))
	}
	f.Fuzz(func(t *testing.T, b []byte, protocol uint8) {
		s, err := decodeInet(Protocol(protocol), b)
		if err == nil {
			checkInet(t, s)
		}
	})
}

func FuzzDecodeUnix(f *testing.F) {
	for _, b := range replies(f, unixReplies) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeUnix(b)
		if err != nil {
			return
		}
		if s.Unix == nil || s.Protocol != Unix || s.UID < -1 {
			t.Errorf("decoded %+v", s)
		}
		checkText(t, s)
	})
}

func FuzzParseProcNet(f *testing.F) {
	f.Add("   1: 0100007F:0001 00000000:0000 07 00000000:0000002A 00:00000000 00000000  1000        0 27514 2 0000000000000000 0", uint8(Raw))
	f.Add("   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 31415 1 0000000000000000 100 0 0 10 0", uint8(TCP))
	f.Fuzz(func(t *testing.T, line string, protocol uint8) {
		s, err := parseProcNet(Protocol(protocol), line)
		if err == nil {
			checkInet(t, s)
		}
	})
}

// checkInet holds of whatever is decoded.
func checkInet(t *testing.T, s Socket) {
	t.Helper()
	if !s.Local.IsValid() || s.Local.Addr().Is4() != (s.Family == sock.IPv4) || s.UID < -1 {
		t.Errorf("decoded %+v", s)
	}
	if s.Remote.IsValid() && s.Remote.Addr().Is4() != s.Local.Addr().Is4() {
		t.Errorf("from %s to %s", s.Local, s.Remote)
	}
	// A port that is held is held against itself.
	same := Binding{Protocol: s.Protocol, Local: s.Local, Interface: s.Interface.Index}
	if got := same.conflicts(&s); got != (s.Local.Port() != 0 && s.State != sock.SynRecv) {
		t.Errorf("%s against itself: %v", s.Local, got)
	}
	checkText(t, s)
}

func checkText(t *testing.T, s Socket) {
	t.Helper()
	for _, r := range s.String() {
		if r < ' ' || r == 0x7f {
			t.Errorf("control character in %q", s.String())
		}
	}
}

func TestRepliesOfAKernel(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the replies are of a little-endian machine")
	}
	g := NewWithT(t)
	want := []string{
		"tcp 0.0.0.0:2024 LISTEN (uid 0)",
		"tcp 127.0.0.1:38173 to 127.0.0.1:54846 ESTABLISHED (uid 0)",
		"tcp 127.0.0.1:55505 to 127.0.0.1:45610 TIME_WAIT",
		"tcp [::1]:34938 to [::1]:59361 TIME_WAIT",
		"tcp [::]:38721 LISTEN (uid 0)",
		"udp [::1]:58335 UNCONN (uid 0)",
	}
	for i, b := range replies(t, inetReplies) {
		protocol := TCP
		if strings.HasPrefix(want[i], "udp") {
			protocol = UDP
		}
		g.Expect(decodeInet(protocol, b)).To(HaveField("String()", want[i]))
	}
	listener, err := decodeInet(TCP, replies(t, inetReplies)[0])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(listener).To(Equal(Socket{
		Protocol: TCP, State: sock.Listening, Local: netip.MustParseAddrPort("0.0.0.0:2024"),
		SendQueue: 128, Inode: 0x434, Cookie: 0x2001, CgroupID: 1,
	}))

	path, err := decodeUnix(replies(t, unixReplies)[2])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(path).To(Equal(Socket{
		Protocol: Unix, State: sock.Listening, SendQueue: 4096, UID: -1, Inode: 0x5a697c, Cookie: 0xb7c4,
		Unix: &UnixDetails{Type: Stream, Name: "/tmp/cap.sock", PathInode: 0x984496, PathDevice: 0x0fe00000},
	}))
}

func TestCutRepliesAreRefused(t *testing.T) {
	g := NewWithT(t)
	for _, b := range replies(t, inetReplies) {
		_, err := decodeInet(TCP, b[:inetReplySize-1])
		g.Expect(err).To(MatchError(errShort))
		_, err = decodeInet(TCP, b[:len(b)-4])
		g.Expect(err).To(MatchError(errShort))
	}
	for _, b := range replies(t, unixReplies) {
		_, err := decodeUnix(b[:unixReplySize-1])
		g.Expect(err).To(MatchError(errShort))
		_, err = decodeUnix(b[:len(b)-4])
		g.Expect(err).To(MatchError(errShort))
		_, err = decodeInet(TCP, append(b, make([]byte, inetReplySize)...))
		g.Expect(err).To(MatchError("tcp socket of address family 1"))
	}
}

// A raw socket's protocol is told apart from its port, and where it does not
// fit that, by an attribute.
func TestRawReply(t *testing.T) {
	g := NewWithT(t)
	b := make([]byte, inetReplySize)
	b[0], b[1], b[5] = familyIPv4, byte(sock.Closed), 47
	s, err := decodeInet(Raw, b)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.IPProtocol).To(BeEquivalentTo(47))
	g.Expect(s.Local).To(Equal(netip.MustParseAddrPort("0.0.0.0:0")))
	g.Expect(s.Listens()).To(BeTrue())

	value := make([]byte, 8)
	binary.NativeEndian.PutUint16(value, 5)
	binary.NativeEndian.PutUint16(value[2:], inetProtocol)
	value[4] = 253
	g.Expect(decodeInet(Raw, append(b, value...))).To(HaveField("IPProtocol", BeEquivalentTo(253)))
}

func TestStatesAsTheKernelTakesThem(t *testing.T) {
	g := NewWithT(t)
	g.Expect(stateMask(nil)).To(Equal(^uint32(0)))
	g.Expect(stateMask([]sock.TCPState{sock.Listening, sock.Established})).To(BeEquivalentTo(1<<10 | 1<<1))
	g.Expect(stateMask([]sock.TCPState{sock.Closed})).To(BeEquivalentTo(1<<7|1<<13), "bound sockets are Closed")
}
