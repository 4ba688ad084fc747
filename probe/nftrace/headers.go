package nftrace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Protocols above IP that have a name here (IANA, Protocol Numbers).
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

var protocolNames = map[uint8]string{ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPv6: "icmpv6", 33: "dccp", 132: "sctp", 136: "udplite"}

// Headers is what the headers of a packet say, as far as they were sent.
type Headers struct {
	// Version is that of IP, 4 or 6; 0 where it is not IP, and the rest is
	// zero then.
	Version uint8 `json:"version"`
	// Source and Destination have port 0 where there are no ports, or where a
	// fragment has lost them.
	Source      netip.AddrPort `json:"source"`
	Destination netip.AddrPort `json:"destination"`
	// Protocol is what the IP header says comes next. For IPv6 that may be an
	// extension header; the kernel does not send those, and nothing behind it
	// is decoded then.
	Protocol uint8 `json:"protocol"`
	// Length is that of the whole packet in bytes, from the IP header on.
	Length int `json:"length"`
	// TTL is the hop limit.
	TTL uint8 `json:"ttl"`
	// ID is IPv4's identification.
	ID uint16 `json:"ip_id,omitempty"`
	// Fragment is this fragment's offset in bytes.
	Fragment int         `json:"fragment,omitempty"`
	TCP      *TCPHeader  `json:"tcp,omitempty"`
	ICMP     *ICMPHeader `json:"icmp,omitempty"`
}

// TCPHeader is that of RFC 9293, section 3.1.
type TCPHeader struct {
	Sequence        uint32   `json:"sequence"`
	Acknowledgement uint32   `json:"acknowledgement"`
	Flags           TCPFlags `json:"flags"`
	Window          uint16   `json:"window"`
}

// TCPFlags are the control bits, of which FIN is the lowest.
type TCPFlags uint8

const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

var flagNames = [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"}

// String joins the flags' names as nft(8) writes them with "|".
func (f TCPFlags) String() string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// ICMPHeader is that of RFC 792 or RFC 4443.
type ICMPHeader struct {
	Type uint8 `json:"type"`
	Code uint8 `json:"code"`
	// ID and Sequence are those of an echo, a request or its reply.
	ID       uint16 `json:"id,omitempty"`
	Sequence uint16 `json:"sequence,omitempty"`
}

// ProtocolName is what nft(8) calls the protocol.
func (h Headers) ProtocolName() string {
	if name, known := protocolNames[h.Protocol]; known {
		return name
	}
	return fmt.Sprintf("protocol %d", h.Protocol)
}

func (h Headers) String() string {
	if h.Version == 0 {
		return "not an IP packet"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s to %s", h.ProtocolName(), endpoint(h.Source), endpoint(h.Destination))
	switch {
	case h.TCP != nil:
		fmt.Fprintf(&b, " %s", h.TCP.Flags)
	case h.ICMP != nil:
		fmt.Fprintf(&b, " type %d code %d", h.ICMP.Type, h.ICMP.Code)
	}
	fmt.Fprintf(&b, ", %d bytes", h.Length)
	return b.String()
}

func endpoint(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// parseHeaders reads as much as is there. The hook's family decides where the
// version is not to be trusted, as in netdev and bridge, where anything passes.
func parseHeaders(family string, network, transport []byte) Headers {
	if len(network) == 0 || family == "arp" {
		return Headers{}
	}
	switch version := network[0] >> 4; {
	case version == 4 && family != "ip6":
		return parseIPv4(network, transport)
	case version == 6 && family != "ip":
		return parseIPv6(network, transport)
	}
	return Headers{}
}

// parseIPv4 is RFC 791, section 3.1.
func parseIPv4(network, transport []byte) Headers {
	if len(network) < 20 {
		return Headers{}
	}
	h := Headers{
		Version:  4,
		Length:   int(binary.BigEndian.Uint16(network[2:])),
		ID:       binary.BigEndian.Uint16(network[4:]),
		Fragment: int(binary.BigEndian.Uint16(network[6:])&0x1fff) * 8,
		TTL:      network[8],
		Protocol: network[9],
	}
	source, destination := netip.AddrFrom4([4]byte(network[12:16])), netip.AddrFrom4([4]byte(network[16:20]))
	h.parseTransport(source, destination, transport)
	return h
}

// parseIPv6 is RFC 8200, section 3.
func parseIPv6(network, transport []byte) Headers {
	if len(network) < 40 {
		return Headers{}
	}
	h := Headers{
		Version:  6,
		Length:   40 + int(binary.BigEndian.Uint16(network[4:])),
		Protocol: network[6],
		TTL:      network[7],
	}
	source, destination := netip.AddrFrom16([16]byte(network[8:24])), netip.AddrFrom16([16]byte(network[24:40]))
	h.parseTransport(source, destination, transport)
	return h
}

func (h *Headers) parseTransport(source, destination netip.Addr, b []byte) {
	h.Source, h.Destination = netip.AddrPortFrom(source, 0), netip.AddrPortFrom(destination, 0)
	if h.Fragment != 0 {
		return
	}
	switch h.Protocol {
	case ICMP, ICMPv6:
		h.parseICMP(b)
		return
	case TCP, UDP, 33, 132, 136:
		if len(b) >= 4 {
			h.Source = netip.AddrPortFrom(source, binary.BigEndian.Uint16(b))
			h.Destination = netip.AddrPortFrom(destination, binary.BigEndian.Uint16(b[2:]))
		}
	}
	if h.Protocol == TCP && len(b) >= 16 {
		h.TCP = &TCPHeader{
			Sequence:        binary.BigEndian.Uint32(b[4:]),
			Acknowledgement: binary.BigEndian.Uint32(b[8:]),
			Flags:           TCPFlags(b[13]),
			Window:          binary.BigEndian.Uint16(b[14:]),
		}
	}
}

func (h *Headers) parseICMP(b []byte) {
	if len(b) < 4 {
		return
	}
	h.ICMP = &ICMPHeader{Type: b[0], Code: b[1]}
	echo := h.Protocol == ICMP && (b[0] == 8 || b[0] == 0) ||
		h.Protocol == ICMPv6 && (b[0] == 128 || b[0] == 129)
	if echo && len(b) >= 8 {
		h.ICMP.ID = binary.BigEndian.Uint16(b[4:])
		h.ICMP.Sequence = binary.BigEndian.Uint16(b[6:])
	}
}
