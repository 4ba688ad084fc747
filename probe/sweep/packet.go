package sweep

import (
	"encoding/binary"
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/internal/checksum"
)

// tagMark is the first byte of every tag. The others are the number's lower byte,
// the sweep, and the number's upper byte; the number is the port, or which packet
// of a burst it is. In a message of ICMP the first two are its identifier, so
// that no reply belongs to the request of another type.
const tagMark = 0xc7

// maxSweeps is how many one recording can tell apart.
const maxSweeps = 256

const tagBytes = 4

func putTag(b []byte, sweep int, number uint16) {
	b[0], b[1], b[2], b[3] = tagMark, byte(number), byte(sweep), byte(number>>8)
}

func readTag(b []byte) (sweep int, number uint16, ok bool) {
	if len(b) < tagBytes || b[0] != tagMark {
		return 0, 0, false
	}
	return int(b[2]), uint16(b[3])<<8 | uint16(b[1]), true
}

// Protocols by number (IANA, Protocol Numbers), the lengths of headers, and
// where in them something is (RFC 791, 8200, 9293, 768, 792, 4443).
const (
	numberICMP   = 1
	numberTCP    = 6
	numberUDP    = 17
	numberICMPv6 = 58

	ipv4Bytes = 20
	ipv6Bytes = 40
	// ipv6HopsAt is in the IP header.
	ipv6HopsAt = 7

	udpBytes  = 8
	icmpBytes = 8
	tcpBytes  = 20

	tcpSequenceAt = 4
	tcpAckAt      = 8
	tcpFlagsAt    = 13
	tcpChecksumAt = 16
	udpChecksumAt = 6
	icmpTagAt     = 4

	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// synOptions are those of a SYN of Linux, but for the timestamp: rules may ask
// for a maximum segment size.
var synOptions = []byte{2, 4, 0x05, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7}

// packetBytes is room for the longest packet of a sweep, with its Ethernet
// header.
const packetBytes = 128

// udpPayload is how long a datagram's payload is, of which the tag is the first.
const udpPayload = 8

// template is a packet of a sweep, into which a port and a tag are written.
type template struct {
	sweep Sweep
	// number is that of the sweep in its recording.
	number int
	// ephemeral says that any source port will do.
	ephemeral bool
	packet    []byte
	// header is how long the IP header is.
	header int
	// sum is that of pseudo header and segment as they are in packet, without
	// what is written into it.
	sum uint32
}

func (p Protocol) number(ipv6 bool) byte {
	switch {
	case p == TCP:
		return numberTCP
	case p == UDP:
		return numberUDP
	case ipv6:
		return numberICMPv6
	}
	return numberICMP
}

func newTemplate(s Sweep, number int) *template {
	t := &template{number: number, ephemeral: s.SourcePort == 0}
	if t.ephemeral {
		s.SourcePort = sourcePorts[s.State]
	}
	t.sweep = s
	segment := s.segment()
	protocol := s.Protocol.number(s.To.Is6())
	header := ipHeader(s.Source, s.To, protocol, len(segment))
	t.header = len(header)
	t.packet = append(header, segment...)
	t.sum = checksum.Sum(0, segment)
	if protocol != numberICMP {
		t.sum = checksum.Sum(checksum.Sum(t.sum+uint32(protocol)+uint32(len(segment)), s.Source.AsSlice()), s.To.AsSlice())
	}
	return t
}

// segment is what follows the IP header, with nothing in the fields that differ
// by packet, and no checksum.
func (s Sweep) segment() []byte {
	switch s.Protocol {
	case UDP:
		b := make([]byte, udpBytes+udpPayload)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		return b
	case ICMP:
		if s.State == Related {
			return s.aboutConnection()
		}
		return make([]byte, icmpBytes+udpPayload)
	}
	b := make([]byte, tcpBytes, tcpBytes+len(synOptions))
	binary.BigEndian.PutUint16(b[14:], 64240) // the window
	switch s.State {
	case Established:
		b[tcpFlagsAt] = flagACK
	case Invalid:
		b[tcpFlagsAt] = flagSYN | flagACK
	default:
		b[tcpFlagsAt] = flagSYN
		b = append(b, synOptions...)
	}
	b[12] = byte(len(b)) / 4 << 4
	return b
}

// relatedPort is the destination port's place in the connection that an ICMP
// error is about: any will do.
const relatedPort = 9

// aboutConnection is an ICMP error about a datagram that went the other way (RFC
// 792, RFC 4443 3.1), with the code for a port that is unreachable.
func (s Sweep) aboutConnection() []byte {
	b := make([]byte, icmpBytes)
	b[1] = 3
	if s.To.Is6() {
		b[1] = 4
	}
	b = append(b, ipHeader(s.To, s.Source, numberUDP, udpBytes)...)
	from, to := s.about()
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	return append(b, 0, udpBytes, 0, 0)
}

// about are the ends of the connection that an ICMP error is about.
func (s Sweep) about() (from, to netip.AddrPort) {
	return netip.AddrPortFrom(s.To, sourcePorts[Related]), netip.AddrPortFrom(s.Source, relatedPort)
}

// hops is the time to live, or hop limit, of packets.
const hops = 64

// hopsOf is the hop limit that an ICMPv6 message has to have. What goes no
// further than the cable is taken with that alone.
func hopsOf(kind byte) byte {
	switch {
	case kind >= 133 && kind <= 137, kind == 141, kind == 142, kind == 148, kind == 149:
		return 255 // RFC 4861, RFC 3122, RFC 3971
	case kind >= 130 && kind <= 132, kind == 143, kind >= 151 && kind <= 153:
		return 1 // RFC 2710, RFC 9777, RFC 4286
	}
	return hops
}

func ipHeader(from, to netip.Addr, protocol byte, payload int) []byte {
	if to.Is4() {
		b := make([]byte, ipv4Bytes)
		b[0] = 4<<4 | ipv4Bytes/4
		binary.BigEndian.PutUint16(b[2:], uint16(ipv4Bytes+payload))
		binary.BigEndian.PutUint16(b[4:], 0x4c43) // an identification, any
		binary.BigEndian.PutUint16(b[6:], 0x4000) // don't fragment
		b[8], b[9] = hops, protocol
		copy(b[12:], from.AsSlice())
		copy(b[16:], to.AsSlice())
		binary.BigEndian.PutUint16(b[10:], checksum.Of(b))
		return b
	}
	b := make([]byte, ipv6Bytes)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	b[6], b[7] = protocol, hops
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	return b
}

// The ephemeral range of Linux (ip_local_port_range in
// Documentation/networking/ip-sysctl.rst).
const (
	ephemeralFirst = 32768
	ephemeralPorts = 60999 - ephemeralFirst + 1
)

// ends are where a packet comes from and goes to.
func (t *template) ends(number uint16) (from, to netip.AddrPort) {
	s := t.sweep
	source, port := s.SourcePort, number
	if s.Burst > 0 {
		port = s.Ports[0].First
		if t.ephemeral {
			source = ephemeralFirst + (source-ephemeralFirst+number)%ephemeralPorts
		}
	}
	if s.Source == s.To && t.ephemeral {
		source = apart(source, port)
	}
	return netip.AddrPortFrom(s.Source, source), netip.AddrPortFrom(s.To, port)
}

// Source ports over lo: the least of sourcePorts, and that of the others in their
// place.
const (
	firstPort  = 54320
	secondPort = 54310
	thirdPort  = 54300
	statePorts = 4
)

// apart is the port that a packet over lo comes from, such that none is the
// answer to another of the call: what goes to a port that packets come from comes
// from other ports, and what goes to those from others again.
func apart(source, port uint16) uint16 {
	switch state := source - firstPort; {
	case port >= firstPort && port < firstPort+statePorts:
		return secondPort + state
	case port >= secondPort && port < secondPort+statePorts:
		return thirdPort + state
	}
	return source
}

// write makes one packet of the template in a buffer and says how long it is.
// The number is the port, or that of a packet of a burst.
func (t *template) write(b []byte, number uint16) int {
	n := copy(b, t.packet)
	segment := b[t.header:n]
	from, to := t.ends(number)
	var written, sumAt int
	switch t.sweep.Protocol {
	case TCP:
		written, sumAt = tcpSequenceAt, tcpChecksumAt
		if t.sweep.State == Established || t.sweep.State == Invalid {
			// A RST takes its sequence number from here.
			putTag(segment[tcpAckAt:], t.number, number)
		}
	case UDP:
		written, sumAt = udpBytes, udpChecksumAt
	case ICMP:
		written, sumAt = icmpTagAt, 2
		segment[0] = byte(to.Port())
		if t.sweep.To.Is6() {
			b[ipv6HopsAt] = hopsOf(segment[0])
		}
	}
	putTag(segment[written:], t.number, number)
	if t.sweep.Protocol != ICMP {
		binary.BigEndian.PutUint16(segment, from.Port())
		binary.BigEndian.PutUint16(segment[2:], to.Port())
	}
	sum := t.sum
	// Only what was written now is not in the sum yet.
	sum = checksum.Sum(sum, segment[written:written+tagBytes])
	if t.sweep.Protocol == ICMP {
		sum += uint32(segment[0]) << 8
	} else {
		sum = checksum.Sum(sum, segment[:4])
	}
	if t.sweep.Protocol == TCP && (t.sweep.State == Established || t.sweep.State == Invalid) {
		sum = checksum.Sum(sum, segment[tcpAckAt:tcpAckAt+tagBytes])
	}
	value := checksum.Fold(sum)
	if t.sweep.Protocol == UDP {
		if t.sweep.State == Invalid {
			value ^= 0x5555
		}
		if value == 0 {
			value = 0xffff // RFC 768
		}
	}
	binary.BigEndian.PutUint16(segment[sumAt:], value)
	return n
}
