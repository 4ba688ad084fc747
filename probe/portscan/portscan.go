// Package portscan answers what every port of one of the machine's own
// addresses does with a packet: is it open, closed, rejected by a firewall, or
// dropped.
//
// It asks the stack and nobody else. What the socket table says is held
// against the answers afterwards (see Compare), so that a listener that a
// firewall hides and a port that answers without an owner are both seen.
//
// TCP is asked by one of two engines. Raw sends SYNs of its own making through
// a raw socket, many with one system call, from a port that is kept bound but
// never connected: the kernel answers each SYN-ACK with a RST, and no program
// ever sees a connection. Connect needs no privilege: a socket that was refused
// can be connected again, so that a few of them serve for the whole range; a
// program that listens gets a connection that is reset at once. UDP sends empty
// datagrams and reads the ICMP errors from the socket's error queue.
//
// No open is believed until it was proved. Within the range of the scan's own
// ports a connect(2) may meet itself, or another program that connects to just
// that port at that moment (simultaneous open, RFC 9293 3.5), and both stand
// without anybody listening. So each open is asked again from a new port, and
// only what answers twice is open. Silence is asked again too, until a whole
// round brings nothing new: a lost packet is no firewall.
package portscan

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// Engine is how TCP is asked.
type Engine string

const (
	// Auto is Raw where the kernel allows it and Connect elsewhere.
	Auto Engine = ""
	// Raw needs CAP_NET_RAW (capabilities(7)).
	Raw     Engine = "raw"
	Connect Engine = "connect"
	// Datagram is how UDP is asked; there is no other.
	Datagram Engine = "datagram"
)

// Options says what to scan.
type Options struct {
	// Protocol is TCP or UDP.
	Protocol sock.Kind
	// Addr is an address of the machine's own; any other is a
	// *NotOwnError. An IPv6 address that is link-local has its zone.
	Addr netip.Addr
	// Ports is which; the empty set stands for all.
	Ports portset.Set
	// Engine is for TCP.
	Engine Engine
	// Progress is told how many ports more were asked for the first time; most
	// are answered by then. It is called by several goroutines at once, may be
	// nil, and must not block.
	Progress func(ports int)
}

// NotOwnError says that an address is none of this machine's own, to which
// alone packets are sent.
type NotOwnError struct {
	Addr netip.Addr
	// Why is what the kernel says of the way there.
	Why string
}

func (e *NotOwnError) Error() string {
	return fmt.Sprintf("%s is no address of this machine (%s)", e.Addr, e.Why)
}

// NotAllowedError says that this process may not use the engine.
type NotAllowedError struct {
	Engine Engine
	Err    error
}

func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("the %s engine needs CAP_NET_RAW: %v", e.Engine, e.Err)
}

func (e *NotAllowedError) Unwrap() error { return e.Err }

// ConntrackError says that the table of connections that netfilter tracks has no
// room for a scan over UDP (net.netfilter.nf_conntrack_max).
type ConntrackError struct{ Room, Needed int }

func (e *ConntrackError) Error() string {
	return fmt.Sprintf("the connection tracking table has room for %d entries, and the scan takes up to %d (net.netfilter.nf_conntrack_max)", e.Room, e.Needed)
}

// Result is what a scan found.
type Result struct {
	Protocol sock.Kind
	Addr     netip.Addr
	Engine   Engine
	Ports    portset.Set
	Took     time.Duration
	// answers holds one for each port there is, by its number.
	answers []Answer
}

// At is the answer of a port; the zero Answer for one that was not asked.
func (r *Result) At(port uint16) Answer { return r.answers[port] }

// Range is neighbouring ports with the same answer. Ports that were not asked
// do not part it from the next.
type Range struct {
	portset.Range
	Answer Answer
}

// Ranges gives the answers of all ports asked, ascending, as few ranges as can
// be.
func (r *Result) Ranges() []Range {
	var ranges []Range
	for _, asked := range r.Ports.Ranges() {
		begin := len(ranges)
		for port := int(asked.First); port <= int(asked.Last); port++ {
			answer := r.answers[port]
			if n := len(ranges); n > begin && ranges[n-1].Answer == answer {
				ranges[n-1].Last = uint16(port)
				continue
			}
			ranges = append(ranges, Range{portset.Range{First: uint16(port), Last: uint16(port)}, answer})
		}
	}
	return ranges
}

// Count is how many of the ports that were asked and are within the range have
// a state.
func (r *Result) Count(within portset.Range, state State) int {
	n := 0
	for _, part := range r.Ports.Within(within).Ranges() {
		for port := int(part.First); port <= int(part.Last); port++ {
			if r.answers[port].State == state {
				n++
			}
		}
	}
	return n
}

// Having returns the ports that were asked and have a state.
func (r *Result) Having(state State) portset.Set {
	var found []portset.Range
	for _, part := range r.Ranges() {
		if part.Answer.State == state {
			found = append(found, part.Range)
		}
	}
	return portset.Of(found...)
}

// Scan asks every port. Sockets are opened on the calling goroutine, so that
// the scan is of its thread's network namespace; several goroutines use them.
//
// The error is for what is no answer of a port: a *NotOwnError, a
// *NotAllowedError, a *ConntrackError, no descriptor or port left, the end of the context. It
// wraps errors.ErrUnsupported on systems other than Linux.
func Scan(ctx context.Context, o Options) (*Result, error) {
	if o.Ports.Len() == 0 {
		o.Ports = portset.All()
	}
	o.Addr = o.Addr.Unmap()
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	r, err := scan(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("scan %s ports of %s: %w", o.Protocol, o.Addr, err)
	}
	return r, nil
}
