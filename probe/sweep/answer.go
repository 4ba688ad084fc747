package sweep

import (
	"encoding/binary"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// answer is what came back to a packet.
type answer struct {
	sweep   int
	number  uint16
	verdict verdict.Verdict
}

// readAnswer reads an IP packet that was received. Anything but a RST, a
// SYN-ACK or an ICMP error about a packet of a sweep is none.
func readAnswer(b []byte) (answer, bool) {
	protocol, segment, ipv6, ok := splitIP(b)
	if !ok {
		return answer{}, false
	}
	return readSegment(protocol, segment, ipv6)
}

func readSegment(protocol byte, segment []byte, ipv6 bool) (answer, bool) {
	switch {
	case protocol == numberTCP:
		return readTCP(segment)
	case protocol == numberICMP && !ipv6, protocol == numberICMPv6 && ipv6:
		return readError(segment, ipv6)
	}
	return answer{}, false
}

// splitIP takes the header off. Behind an extension header of IPv6 nothing is
// looked for.
func splitIP(b []byte) (protocol byte, segment []byte, ipv6, ok bool) {
	if len(b) < 1 {
		return 0, nil, false, false
	}
	switch b[0] >> 4 {
	case 4:
		if header := int(b[0]&0xf) * 4; header >= ipv4Bytes && len(b) >= header {
			return b[9], b[header:], false, true
		}
	case 6:
		if len(b) >= ipv6Bytes {
			return b[6], b[ipv6Bytes:], true, true
		}
	}
	return 0, nil, false, false
}

// readTCP reads what a RST or SYN-ACK answers (RFC 9293 3.5.2): the sequence
// number of a SYN, plus one, or, in a RST without an acknowledgement, the
// acknowledgement of what it refuses.
func readTCP(b []byte) (answer, bool) {
	if len(b) < tcpBytes {
		return answer{}, false
	}
	flags, tag := b[tcpFlagsAt], [tagBytes]byte{}
	v := verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}
	switch {
	case flags&(flagRST|flagACK) == flagRST:
		copy(tag[:], b[tcpSequenceAt:])
	case flags&flagRST != 0:
		binary.BigEndian.PutUint32(tag[:], binary.BigEndian.Uint32(b[tcpAckAt:])-1)
	case flags&(flagSYN|flagACK) == flagSYN|flagACK:
		// synproxy answers in place of who would.
		v = verdict.Verdict{Action: verdict.Accept}
		binary.BigEndian.PutUint32(tag[:], binary.BigEndian.Uint32(b[tcpAckAt:])-1)
	default:
		return answer{}, false
	}
	sweep, number, ok := readTag(tag[:])
	return answer{sweep, number, v}, ok
}

// readError reads which packet an ICMP error is about: it holds the packet, as
// far as that was short enough (RFC 1812 4.3.2.3, RFC 4443 2.4).
func readError(b []byte, ipv6 bool) (answer, bool) {
	if len(b) < icmpBytes || !isError(b[0], ipv6) {
		return answer{}, false
	}
	protocol, segment, _, ok := splitIP(b[icmpBytes:])
	if !ok {
		return answer{}, false
	}
	tagAt := map[byte]int{numberTCP: tcpSequenceAt, numberUDP: udpBytes, numberICMP: icmpTagAt, numberICMPv6: icmpTagAt}
	at, known := tagAt[protocol]
	if !known || len(segment) < at {
		return answer{}, false
	}
	sweep, number, ok := readTag(segment[at:])
	family := sock.IPv4
	if ipv6 {
		family = sock.IPv6
	}
	kind := verdict.KindOf(family, sock.ICMPError{Type: b[0], Code: b[1]})
	return answer{sweep, number, verdict.Verdict{Action: verdict.Reject, Kind: kind}}, ok
}

// isError tells errors from other messages: of ICMP destination unreachable,
// time exceeded and parameter problem, of ICMPv6 every type below 128.
func isError(kind byte, ipv6 bool) bool {
	if ipv6 {
		return kind < 128
	}
	return kind == 3 || kind == 11 || kind == 12
}
