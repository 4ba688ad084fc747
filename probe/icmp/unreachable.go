package icmp

import (
	"net/netip"
)

// Unreachable is the ICMP error that a datagram to a closed port causes.
type Unreachable struct {
	Type, Code int
	// SizeBytes is the length of the whole IP packet that carried the error, and
	// TOS its type of service. Both are zero where only the error queue was
	// asked, which keeps neither.
	SizeBytes int
	TOS       int
	From      netip.Addr
}
