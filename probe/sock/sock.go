// Package sock asks the stack through sockets as the kernel has them, for the
// questions that Go's net package hides: net.Listen chooses the backlog, the
// dialer undoes a self-connect, and a read turns 0 into io.EOF.
//
// Every descriptor is nonblocking and closed on exec. An operation that has to
// wait takes a context and ends with it, at most wakeInterval late. What the
// kernel refuses comes back as an error that wraps its syscall.Errno, so that
//
//	errors.Is(err, syscall.ECONNREFUSED)
//
// tells what happened; what the context ended wraps the context's error.
//
// It is implemented on Linux. Elsewhere New returns an error that wraps
// errors.ErrUnsupported.
package sock

import (
	"fmt"
	"net/netip"
	"strings"
)

// Kind is the protocol of a socket.
type Kind int

const (
	TCP Kind = iota
	UDP
	// Ping is the datagram socket of ICMP and ICMPv6, whose port is the
	// identifier of the echo requests that it sends (icmp(7)).
	Ping
	// Raw sends and receives packets of one protocol: see NewRaw.
	Raw
)

func (k Kind) String() string {
	switch k {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case Ping:
		return "ping"
	case Raw:
		return "raw"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Family is the address family of a socket.
type Family int

const (
	IPv4 Family = iota
	IPv6
)

func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return fmt.Sprintf("family %d", int(f))
}

// Loopback is the family's own loopback address with the given port, 0 for
// any: 127.0.0.1 (RFC 1122 3.2.1.3) or ::1 (RFC 4291 2.5.3).
func (f Family) Loopback(port uint16) netip.AddrPort {
	if f == IPv6 {
		return netip.AddrPortFrom(netip.IPv6Loopback(), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// Flag changes how a send or a receive behaves; flags combine with |.
type Flag int

const (
	// Truncate makes a receive from a datagram socket return the datagram's
	// real length, even where the buffer is shorter (MSG_TRUNC, recv(2)).
	Truncate Flag = 1 << iota
	// Peek leaves what was received in the queue (MSG_PEEK, recv(2)).
	Peek
	// OutOfBand sends, or receives, urgent data (MSG_OOB; RFC 6093).
	OutOfBand
	// DontWait makes a call on a blocking socket not wait (MSG_DONTWAIT).
	DontWait
	// WaitAll makes a receive on a blocking socket wait until the buffer is
	// full (MSG_WAITALL, recv(2)).
	WaitAll
	// More says that more will be sent at once (MSG_MORE, send(2)).
	More
	// WithoutCopy sends the caller's own memory (MSG_ZEROCOPY; see
	// Documentation/networking/msg_zerocopy.rst).
	WithoutCopy
	// FastOpenData puts what is sent into the SYN (MSG_FASTOPEN; RFC 7413).
	FastOpenData
	// WithSignal lets a send to a closed stream raise SIGPIPE: without it
	// every send asks for none (MSG_NOSIGNAL, send(2)).
	WithSignal
	// EndOfRecord keeps what is sent next out of the segment that ends here:
	// over TCP each such send is a segment of its own, also while it waits
	// (MSG_EOR, send(2); tcp_skb_can_collapse_to in Linux).
	EndOfRecord
)

// How is the half of a connection that Shutdown closes.
type How int

const (
	Read How = iota
	Write
	Both
)

func (h How) String() string {
	switch h {
	case Read:
		return "SHUT_RD"
	case Write:
		return "SHUT_WR"
	case Both:
		return "SHUT_RDWR"
	}
	return fmt.Sprintf("how %d", int(h))
}

// Event is a set of conditions that Poll waits for and reports (poll(2)).
type Event int

const (
	Readable Event = 1 << iota
	Writable
	// Failed and HungUp are reported whether asked for or not.
	Failed
	HungUp
	// PeerClosed says that the peer has ended its direction of a stream.
	PeerClosed
)

func (e Event) String() string {
	names := []struct {
		event Event
		name  string
	}{{Readable, "IN"}, {Writable, "OUT"}, {Failed, "ERR"}, {HungUp, "HUP"}, {PeerClosed, "RDHUP"}}
	var set []string
	for _, n := range names {
		if e&n.event != 0 {
			set = append(set, n.name)
		}
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, "+")
}

// TCPState is a connection's state with the numbers that Linux gives it
// (include/net/tcp_states.h), which /proc/net/tcp prints as well.
type TCPState uint8

const (
	Established TCPState = iota + 1
	SynSent
	SynRecv
	FinWait1
	FinWait2
	TimeWait
	Closed
	CloseWait
	LastAck
	Listening
	Closing
)

func (s TCPState) String() string {
	names := [...]string{
		Established: "ESTABLISHED", SynSent: "SYN_SENT", SynRecv: "SYN_RECV",
		FinWait1: "FIN_WAIT1", FinWait2: "FIN_WAIT2", TimeWait: "TIME_WAIT", Closed: "CLOSE",
		CloseWait: "CLOSE_WAIT", LastAck: "LAST_ACK", Listening: "LISTEN", Closing: "CLOSING",
	}
	if s == 0 || int(s) >= len(names) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return names[s]
}
