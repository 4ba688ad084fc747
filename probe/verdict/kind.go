package verdict

import (
	"fmt"
	"slices"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// Kind is how a packet is rejected: "tcp-reset", or a protocol and the name
// that nft(8) has for the code, such as "icmp port-unreachable" and
// "icmpv6 no-route". An error that nft cannot send has its numbers, such as
// "icmp type 11 code 0".
type Kind string

// TCPReset is a segment with RST that answers a SYN (RFC 9293 3.10.7).
const TCPReset Kind = "tcp-reset"

// ICMPKind is a destination unreachable that a rule may reject with.
type ICMPKind struct {
	Kind   Kind
	Family sock.Family
	Type   uint8
	Code   uint8
	// Meaning is what the standard says of the code, and Source where.
	Meaning, Source string
}

// Types of the message destination unreachable.
const (
	unreachableV4 = 3 // RFC 792
	unreachableV6 = 1 // RFC 4443 3.1
)

var icmpKinds = []ICMPKind{
	{"icmp net-unreachable", sock.IPv4, unreachableV4, 0, "net unreachable", "RFC 792"},
	{"icmp host-unreachable", sock.IPv4, unreachableV4, 1, "host unreachable", "RFC 792"},
	{"icmp prot-unreachable", sock.IPv4, unreachableV4, 2, "protocol unreachable", "RFC 792"},
	{"icmp port-unreachable", sock.IPv4, unreachableV4, 3, "port unreachable", "RFC 792"},
	{"icmp net-prohibited", sock.IPv4, unreachableV4, 9, "communication with destination network administratively prohibited", "RFC 1122 3.2.2.1"},
	{"icmp host-prohibited", sock.IPv4, unreachableV4, 10, "communication with destination host administratively prohibited", "RFC 1122 3.2.2.1"},
	{"icmp admin-prohibited", sock.IPv4, unreachableV4, 13, "communication administratively prohibited", "RFC 1812 5.2.7.1"},
	{"icmpv6 no-route", sock.IPv6, unreachableV6, 0, "no route to destination", "RFC 4443 3.1"},
	{"icmpv6 admin-prohibited", sock.IPv6, unreachableV6, 1, "communication with destination administratively prohibited", "RFC 4443 3.1"},
	{"icmpv6 addr-unreachable", sock.IPv6, unreachableV6, 3, "address unreachable", "RFC 4443 3.1"},
	{"icmpv6 port-unreachable", sock.IPv6, unreachableV6, 4, "port unreachable", "RFC 4443 3.1"},
	{"icmpv6 policy-fail", sock.IPv6, unreachableV6, 5, "source address failed ingress/egress policy", "RFC 4443 3.1"},
	{"icmpv6 reject-route", sock.IPv6, unreachableV6, 6, "reject route to destination", "RFC 4443 3.1"},
}

// ICMPKinds returns every kind of ICMP that nft(8) has a name for, by family
// and code.
func ICMPKinds() []ICMPKind { return slices.Clone(icmpKinds) }

// KindOf names an ICMP error that a packet of the family met.
func KindOf(family sock.Family, e sock.ICMPError) Kind {
	for _, k := range icmpKinds {
		if k.Family == family && k.Type == e.Type && k.Code == e.Code {
			return k.Kind
		}
	}
	protocol := "icmp"
	if family == sock.IPv6 {
		protocol = "icmpv6"
	}
	return Kind(fmt.Sprintf("%s type %d code %d", protocol, e.Type, e.Code))
}
