package check

import "net/netip"

// What a running check hands to the harness beside its verdict. A suite
// attaches these to its spec; the harness finds them in the spec's report.

// Evidence is one thing that a check saw, as text.
type Evidence struct {
	What string `json:"what"`
	Seen string `json:"seen"`
}

// Measurement is one figure that a check took. The name carries the unit, as
// in "rtt_p50_ns"; a bare count has none, as in "lost".
type Measurement struct {
	Name  string
	Value float64
}

// Missing is the need for want of which a check was skipped, with what was
// found in its place.
type Missing struct {
	Need
	// Found says what was tried and how it was refused.
	Found string `json:"found"`
}

// Unreliable is why a check came to no conclusion.
type Unreliable struct {
	Reason string
}

// Flow is traffic that a check sends to the machine itself, for the search for
// causes to try again.
type Flow struct {
	Protocol string // "tcp", "udp" or "icmp", which is ICMPv6 to an IPv6 address
	// To is where requests go. Port 0 stands for a port of the ephemeral range,
	// and is 0 for ICMP.
	To netip.AddrPort
}
