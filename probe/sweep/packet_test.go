package sweep

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
)

// onesComplement is the sum of RFC 1071, as it is written there: of a packet
// with its checksum it is 0xffff.
func onesComplement(parts ...[]byte) uint16 {
	sum, odd, high := uint64(0), false, byte(0)
	for _, part := range parts {
		for _, c := range part {
			if odd {
				sum += uint64(high)<<8 + uint64(c)
			}
			high, odd = c, !odd
		}
	}
	if odd {
		sum += uint64(high) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// examine says of a packet what is wrong with it.
func examine(t *testing.T, s Sweep, sweep int, number uint16) {
	t.Helper()
	b := made(s, sweep, number)
	var segment, pseudo []byte
	var source, to netip.Addr
	protocol := b[9]
	if s.To.Is4() {
		if b[0] != 0x45 || int(binary.BigEndian.Uint16(b[2:])) != len(b) || onesComplement(b[:20]) != 0xffff {
			t.Errorf("IPv4 header % x of %d bytes", b[:20], len(b))
		}
		segment = b[20:]
		source, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	} else {
		protocol = b[6]
		if b[0]>>4 != 6 || int(binary.BigEndian.Uint16(b[4:]))+40 != len(b) || b[7] == 0 {
			t.Errorf("IPv6 header % x of %d bytes", b[:40], len(b))
		}
		segment = b[40:]
		source, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	}
	if source != s.Source || to != s.To {
		t.Errorf("from %s to %s", source, to)
	}
	if protocol != 1 { // ICMP sums up nothing else
		pseudo = append(source.AsSlice(), to.AsSlice()...)
		pseudo = append(pseudo, 0, protocol, byte(len(segment)>>8), byte(len(segment)))
	}
	sum, wrong := onesComplement(pseudo, segment), s.Protocol == UDP && s.State == Invalid
	if (sum == 0xffff) == wrong {
		t.Errorf("%s %s of %s: the checksum adds up to %#x", s.State, s.Protocol, to, sum)
	}
	port := number
	if s.Burst > 0 {
		port = s.Ports[0].First
	}
	tagAt := 4
	switch s.Protocol {
	case ICMP:
		if segment[0] != byte(port) || segment[1] != 0 {
			t.Errorf("type %d, code %d, and the port is %d", segment[0], segment[1], port)
		}
	case UDP:
		if tagAt = 8; int(binary.BigEndian.Uint16(segment[4:])) != len(segment) || binary.BigEndian.Uint16(segment[6:]) == 0 {
			t.Errorf("UDP header % x of %d bytes", segment[:8], len(segment))
		}
	default:
		if header := int(segment[12]>>4) * 4; header != len(segment) {
			t.Errorf("a TCP header of %d bytes in a segment of %d", header, len(segment))
		}
		if flags := map[State]byte{"": 2, New: 2, Established: 16, Invalid: 18}[s.State]; segment[13] != flags {
			t.Errorf("flags %#x", segment[13])
		}
	}
	if s.Protocol != ICMP && binary.BigEndian.Uint16(segment[2:]) != port {
		t.Errorf("to port %d", binary.BigEndian.Uint16(segment[2:]))
	}
	if s.Protocol != ICMP && s.SourcePort != 0 && binary.BigEndian.Uint16(segment) != s.SourcePort {
		t.Errorf("from port %d", binary.BigEndian.Uint16(segment))
	}
	if gotSweep, got, ok := readTag(segment[tagAt:]); !ok || got != number || gotSweep != sweep {
		t.Errorf("the tag is %d, %d, %v", gotSweep, got, ok)
	}
}

func addresses(ipv6 bool) (from, to netip.Addr) {
	if ipv6 {
		return from6, to6
	}
	return from4, to4
}

// Every port's packet is one that a kernel takes.
func TestPackets(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		from, to := addresses(ipv6)
		for _, protocol := range []Protocol{TCP, UDP} {
			for _, state := range []State{"", New, Established, Invalid} {
				s := Sweep{Source: from, To: to, Protocol: protocol, State: state}
				for number := range 1 << 16 {
					examine(t, s, number%maxSweeps, uint16(number))
				}
			}
		}
		for kind := range uint16(256) {
			examine(t, Sweep{Source: from, To: to, Protocol: ICMP}, 7, kind)
		}
		burst := Sweep{Source: from, To: to, Protocol: UDP, SourcePort: 40000, Burst: 3, Ports: []portset.Range{{First: 53, Last: 53}}}
		for n := uint16(1); n <= burst.Burst; n++ {
			examine(t, burst, 255, n)
		}
	}
}

// A packet is right whatever its addresses, and its answer names it.
func FuzzPacket(f *testing.F) {
	f.Fuzz(func(t *testing.T, ipv6 bool, addresses []byte, protocol, state, sweep uint8, source, number, burst uint16) {
		s := Sweep{
			Protocol:   []Protocol{TCP, UDP, ICMP}[protocol%3],
			State:      []State{New, Established, Invalid}[state%3],
			SourcePort: source, Burst: burst,
			Ports: []portset.Range{{First: number, Last: number}},
		}
		size := 4
		if ipv6 {
			size = 16
		}
		if len(addresses) < 2*size {
			return
		}
		s.Source, _ = netip.AddrFromSlice(addresses[:size])
		s.To, _ = netip.AddrFromSlice(addresses[size : 2*size])
		if s.Protocol == ICMP {
			s.State, s.Burst, number = New, 0, number%256
		}
		if s.Burst > 0 {
			number = burst // the last of them
		}
		if s.Source == s.To && source == 0 || int(source)+int(burst) > 65535 {
			return // it may come from another port
		}
		examine(t, s, int(sweep), number)
		kind := byte(3)
		if ipv6 {
			kind = 1
		}
		a, ok := readAnswer(errorAbout(made(s, int(sweep), number), kind, 0))
		if !ok || a.sweep != int(sweep) || a.number != number {
			t.Errorf("an error about it is read as %+v, %v", a, ok)
		}
	})
}

// Over lo no packet is the answer to another, whatever the states asked in one
// call.
func TestNoneAnswersAnother(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	sent := map[uint32]State{}
	for _, state := range []State{New, Established, Invalid} {
		template := newTemplate(Sweep{Source: loopback, To: loopback, Protocol: TCP, State: state}, 0)
		for number := range 1 << 16 {
			from, to := template.ends(uint16(number))
			if int(to.Port()) != number {
				t.Fatalf("port %d: goes to %s", number, to)
			}
			sent[uint32(from.Port())<<16|uint32(to.Port())] = state
		}
	}
	if len(sent) != 3<<16 {
		t.Errorf("%d connections", len(sent))
	}
	for pair, state := range sent {
		if other, answers := sent[pair<<16|pair>>16]; answers {
			t.Errorf("%s from %d to %d: is the answer to one that is %s", state, pair>>16, pair&0xffff, other)
		}
	}
}
