package sweep

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/probe/verdict"
)

var (
	from4, to4 = netip.MustParseAddr("20.20.20.2"), netip.MustParseAddr("20.20.20.1")
	from6, to6 = netip.MustParseAddr("2a10:20:20::2"), netip.MustParseAddr("2a10:20:20::1")
)

// made is one packet of a sweep.
func made(s Sweep, sweep int, number uint16) []byte {
	b := make([]byte, packetBytes)
	return b[:newTemplate(s, sweep).write(b, number)]
}

// segmentOf is a TCP segment with an IP header, as a kernel answers.
func segmentOf(ipv6 bool, flags byte, sequence, ack uint32) []byte {
	from, to, header := to4, from4, ipv4Bytes
	if ipv6 {
		from, to, header = to6, from6, ipv6Bytes
	}
	b := append(ipHeader(from, to, numberTCP, tcpBytes), make([]byte, tcpBytes)...)
	binary.BigEndian.PutUint32(b[header+tcpSequenceAt:], sequence)
	binary.BigEndian.PutUint32(b[header+tcpAckAt:], ack)
	b[header+12], b[header+tcpFlagsAt] = tcpBytes/4<<4, flags
	return b
}

// errorAbout is an ICMP error that holds a packet.
func errorAbout(packet []byte, kind, code byte) []byte {
	from, to, protocol := to4, from4, byte(numberICMP)
	if packet[0]>>4 == 6 {
		from, to, protocol = to6, from6, numberICMPv6
	}
	message := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, packet...)
	return append(ipHeader(from, to, protocol, len(message)), message...)
}

func TestReadAnswer(t *testing.T) {
	var named [tagBytes]byte
	putTag(named[:], 5, 443)
	tag := binary.BigEndian.Uint32(named[:])
	reset, accept := verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}, verdict.Verdict{Action: verdict.Accept}
	icmp := func(kind verdict.Kind) verdict.Verdict { return verdict.Verdict{Action: verdict.Reject, Kind: kind} }
	four := func(p Protocol) []byte { return made(Sweep{Source: from4, To: to4, Protocol: p}, 5, 443) }
	six := func(p Protocol) []byte { return made(Sweep{Source: from6, To: to6, Protocol: p}, 5, 443) }
	options := append([]byte{0x46}, four(UDP)[1:20]...)
	options = append(append(options, 1, 1, 1, 1), four(UDP)[20:]...)
	for name, c := range map[string]struct {
		packet []byte
		want   verdict.Verdict
	}{
		"RST with ACK":             {segmentOf(false, flagRST|flagACK, 0, tag+1), reset},
		"RST with ACK over IPv6":   {segmentOf(true, flagRST|flagACK, 0, tag+1), reset},
		"RST that refuses an ACK":  {segmentOf(false, flagRST, tag, 0), reset},
		"SYN-ACK":                  {segmentOf(true, flagSYN|flagACK, 1, tag+1), accept},
		"port unreachable":         {errorAbout(four(TCP), 3, 3), icmp("icmp port-unreachable")},
		"admin prohibited":         {errorAbout(four(UDP), 3, 13), icmp("icmp admin-prohibited")},
		"about a ping":             {errorAbout(four(ICMP), 3, 1), icmp("icmp host-unreachable")},
		"behind options":           {errorAbout(options, 3, 0), icmp("icmp net-unreachable")},
		"time exceeded":            {errorAbout(four(UDP), 11, 0), icmp("icmp type 11 code 0")},
		"no route":                 {errorAbout(six(UDP), 1, 0), icmp("icmpv6 no-route")},
		"reject route":             {errorAbout(six(TCP), 1, 6), icmp("icmpv6 reject-route")},
		"packet too big":           {errorAbout(six(ICMP), 2, 0), icmp("icmpv6 type 2 code 0")},
		"as short as can be, IPv4": {errorAbout(four(TCP)[:ipv4Bytes+8], 3, 2), icmp("icmp prot-unreachable")},
	} {
		got, ok := readAnswer(c.packet)
		if want := (answer{5, 443, c.want}); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, want)
		}
		// What was cut off answers nothing, and is not read beyond its end.
		for n := range c.packet {
			if short, ok := readAnswer(c.packet[:n]); ok && short != got {
				t.Errorf("%s cut to %d bytes: %+v", name, n, short)
			}
		}
	}
	foreign := errorAbout(four(UDP), 3, 3)
	foreign[ipv4Bytes+icmpBytes+ipv4Bytes+udpBytes] ^= 1
	for name, packet := range map[string][]byte{
		"nothing":                {},
		"no IP":                  {0x10, 0, 0},
		"ACK":                    segmentOf(false, flagACK, tag, tag+1),
		"SYN":                    segmentOf(false, flagSYN, tag, 0),
		"RST of another":         segmentOf(false, flagRST|flagACK, 0, 12345),
		"about another":          foreign,
		"the packet itself":      four(TCP),
		"an echo reply":          errorAbout(four(UDP), 0, 0),
		"an ICMPv6 echo request": errorAbout(six(UDP), 128, 0),
		"a header of 4 bytes":    append([]byte{0x41}, segmentOf(false, flagRST|flagACK, 0, tag+1)[1:]...),
	} {
		if got, ok := readAnswer(packet); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// No packet, however broken, is read beyond its end, or changed.
func FuzzReadAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		a, ok := readAnswer(b[:len(b):len(b)])
		if !bytes.Equal(before, b) {
			t.Error("the packet was changed")
		}
		if !ok && a.verdict.Action == "" {
			return
		}
		if ok && (a.sweep < 0 || a.sweep >= maxSweeps || a.verdict.Action == verdict.Drop) {
			t.Errorf("%+v", a)
		}
		if ok && a.verdict.Action == verdict.Reject && a.verdict.Kind == "" {
			t.Error("a reject without a kind")
		}
		if ok && !bytes.Contains(b, []byte{tagMark}) && !bytes.Contains(b, []byte{byte(a.sweep)}) {
			// An acknowledgement is one more than the tag: the mark stays.
			t.Errorf("%+v of a packet without a tag", a)
		}
	})
}
