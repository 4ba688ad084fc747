// Package verdict answers what becomes of a packet, as its sender sees it: is
// it let through, dropped or rejected, and if rejected, how.
//
// It sends what a program would, a SYN or a datagram through an ordinary
// socket, needs no privilege, and tells apart what a blocking connect(2) makes
// one of: a RST and an ICMP error both may be ECONNREFUSED, and an ICMP error
// to a SYN shows there only after a second.
//
// What the sender cannot know, this package does not say. A firewall that
// rejects with a RST or with port unreachable looks like a port that is closed,
// and a datagram that is let through to a program that does not answer looks
// like one that is dropped.
//
// Everything happens on the thread that asks, so that it may be in a network
// namespace of its own. It is implemented on Linux; elsewhere the errors wrap
// errors.ErrUnsupported.
package verdict

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// Action is what becomes of a packet.
type Action string

const (
	// Accept says that it was answered by what it was meant for: a SYN by a
	// SYN-ACK, a datagram by any datagram of that peer.
	Accept Action = "accept"
	// Drop says that nothing came back within the wait, or that the kernel
	// refused to send it (see Answer.Local).
	Drop Action = "drop"
	// Reject says that it was answered by a refusal, of which there are Kinds.
	Reject Action = "reject"
)

// Verdict is an Action and, for Reject, its kind. Verdicts can be compared.
type Verdict struct {
	Action Action `json:"action"`
	Kind   Kind   `json:"kind,omitempty"`
}

// String is "accept", "drop" or, as in nft(8), "reject with" a kind.
func (v Verdict) String() string {
	if v.Action == Reject {
		return fmt.Sprintf("%s with %s", v.Action, v.Kind)
	}
	return string(v.Action)
}

// Packet is what is asked about.
type Packet struct {
	// Protocol is TCP, where a SYN is sent, or UDP.
	Protocol sock.Kind
	To       netip.AddrPort
	// Payload is what a datagram carries; a SYN carries nothing.
	Payload []byte
}

func (p Packet) String() string { return fmt.Sprintf("%s to %s", p.Protocol, p.To) }

// Answer is what became of one packet.
type Answer struct {
	Verdict
	// ICMP is the type and code of the ICMP or ICMPv6 error that rejected the
	// packet, nil where none did.
	ICMP *sock.ICMPError `json:"icmp,omitempty"`
	// Errno is what a program is told, 0 where it is told nothing.
	Errno syscall.Errno `json:"errno,omitempty"`
	// Local says that the kernel refused to send the packet (EPERM): a rule of
	// the output or postrouting hook or a BPF program of a cgroup dropped or
	// rejected it. Of a SYN only the BPF program is told of; one that a rule
	// drops on its way out is silent.
	Local bool `json:"local,omitempty"`
	// Took is the time from just before the packet was sent until the answer
	// was seen, or until the wait was over.
	Took time.Duration `json:"took_ns"`
}

// String is the verdict with what tells it from others alike.
func (a Answer) String() string {
	text := a.Verdict.String()
	if a.ICMP != nil {
		text += fmt.Sprintf(" (type %d, code %d)", a.ICMP.Type, a.ICMP.Code)
	}
	switch {
	case a.Local:
		text += " on its way out"
	case a.Action == Drop:
		text += fmt.Sprintf(" (silent for %s)", a.Took.Round(time.Millisecond))
	}
	if a.Errno != 0 {
		text += ": " + a.Errno.Error()
	}
	return text
}

// Of asks about one packet. Silence for as long as wait is a drop: an answer
// over loopback or veth is there within microseconds, but for that of a program
// that has to be given a processor first.
//
// The error is for what is no verdict: an address that no route leads to, no
// descriptor or local port left, the end of the context.
func Of(ctx context.Context, p Packet, wait time.Duration) (Answer, error) {
	answers, err := OfAll(ctx, []Packet{p}, wait)
	if err != nil {
		return Answer{}, err
	}
	return answers[0], nil
}

// OfAll asks about many packets at once and returns their answers in order.
// The wait begins when the last was sent, so that a thousand drops take no
// longer than one. Each packet takes a descriptor; an established connection
// is aborted with a RST (SO_LINGER in socket(7)), so that no port stays in
// TIME_WAIT.
func OfAll(ctx context.Context, packets []Packet, wait time.Duration) ([]Answer, error) {
	return ofAll(ctx, packets, wait)
}
