package portscan

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// State is what a port does with a packet.
type State uint8

const (
	// Unasked is the state of a port that was not in the scan.
	Unasked State = iota
	// Closed: the stack says that nobody is there, TCP by a RST, UDP by the ICMP
	// error port unreachable. A firewall that rejects in just that way looks the
	// same.
	Closed
	// Open: somebody is there. TCP answered two SYNs from different ports by
	// SYN-ACK; UDP sent a datagram back, or took what it was sent without a
	// word, which the kernel's counters tell.
	Open
	// Rejected: an ICMP error that is not the stack's own answer of a closed
	// port.
	Rejected
	// Dropped: nothing came back, however often it was asked; or the kernel
	// refused to send the packet at all.
	Dropped
)

var stateNames = [...]string{Unasked: "unasked", Closed: "closed", Open: "open", Rejected: "rejected", Dropped: "dropped"}

// String is the state in one word.
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return stateNames[s]
}

// MarshalText is String, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Answer is what became of the packets to one port. Answers can be compared.
type Answer struct {
	State State
	// ICMP is the type and code of the error, of meaning where State is
	// Rejected.
	ICMP sock.ICMPError
	// Errno is why the kernel refused to send the packet: EPERM where a rule of
	// the output hook or a BPF program of a cgroup dropped it, EACCES,
	// ENETUNREACH, EHOSTUNREACH or EINVAL where a route forbids it. 0 where the
	// packet was sent.
	Errno syscall.Errno
	// Mute says of an open UDP port that it took a datagram and sent none back.
	Mute bool
}

// Kind names how a packet to the address was rejected, as nft(8) does.
func (a Answer) Kind(to netip.Addr) verdict.Kind {
	family := sock.IPv4
	if to.Is6() {
		family = sock.IPv6
	}
	return verdict.KindOf(family, a.ICMP)
}

// Text is the answer of a port of the address in a few words, such as
// "rejected with icmp admin-prohibited (type 3, code 13)".
func (a Answer) Text(addr netip.Addr) string {
	text := a.State.String()
	if a.State == Rejected {
		text += fmt.Sprintf(" with %s (type %d, code %d)", a.Kind(addr), a.ICMP.Type, a.ICMP.Code)
	}
	if a.Errno != 0 {
		text += " on its way out: " + a.Errno.Error()
	}
	if a.Mute {
		text += ", answers nothing"
	}
	return text
}
