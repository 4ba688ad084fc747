package portscan

import (
	"context"
	"fmt"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// DisagreementKind is how a port and the socket table contradict each other.
type DisagreementKind string

const (
	// Hidden is a listener in the table that the port does not show: a firewall
	// keeps it from being reached, or its accept queue is full.
	Hidden DisagreementKind = "hidden"
	// Ownerless is a port that is open although no socket in the table listens
	// there: a rule sends its packets elsewhere, or a BPF program does.
	Ownerless DisagreementKind = "ownerless"
)

// Disagreement is a port where the stack's answer is not the one that the
// socket table would have it give.
type Disagreement struct {
	Kind   DisagreementKind
	Port   uint16
	Answer Answer
	// Sockets is who listens, with owners; empty where nobody does.
	Sockets []socktable.Socket
	// Backlogged says that a listener's accept queue is full, so that the stack
	// itself drops SYNs (listen(2)).
	Backlogged bool
}

// Comparison is a scan held against the socket table.
type Comparison struct {
	// Listeners are the sockets that take packets to the address, by port, with
	// owners as far as this user may see them.
	Listeners map[uint16][]socktable.Socket
	// Disagreements are by port.
	Disagreements []Disagreement
	// Gaps is what the kernel did not list. Where a port's owner may be among
	// that, it is not called ownerless.
	Gaps []socktable.Gap
}

// compareRounds is how often a disagreement is looked at. Between a scan and
// the reading of the table programs come and go; what is still so in every
// round is none of that.
const compareRounds = 3

// Compare reads the socket table of the calling thread's network namespace and
// holds it against the answers of a scan. Where they disagree the ports are
// asked again, with the same engine, and the newer answers take the place of
// those in the result: what remains is not a program that came or went in
// between.
func Compare(ctx context.Context, r *Result) (*Comparison, error) {
	for round := 1; ; round++ {
		c, err := r.compareOnce(ctx)
		if err != nil {
			return nil, fmt.Errorf("compare with the socket table: %w", err)
		}
		if len(c.Disagreements) == 0 || round == compareRounds {
			return c, nil
		}
		doubtful := make([]uint16, len(c.Disagreements))
		for i, d := range c.Disagreements {
			doubtful[i] = d.Port
		}
		again, err := Scan(ctx, Options{Protocol: r.Protocol, Addr: r.Addr, Engine: r.Engine, Ports: portset.Ports(doubtful...)})
		if err != nil {
			return nil, err
		}
		for _, port := range doubtful {
			r.answers[port] = again.answers[port]
		}
	}
}

func (r *Result) compareOnce(ctx context.Context) (*Comparison, error) {
	protocol, states := socktable.TCP, []sock.TCPState{sock.Listening}
	if r.Protocol == sock.UDP {
		protocol, states = socktable.UDP, nil
	}
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{protocol}, States: states, Owners: true})
	if err != nil {
		return nil, err
	}
	c := &Comparison{Listeners: map[uint16][]socktable.Socket{}, Gaps: table.Gaps}
	for _, socket := range table.Sockets {
		if port := socket.Local.Port(); r.answers[port].State != Unasked && socket.Takes(r.Addr) {
			c.Listeners[port] = append(c.Listeners[port], socket)
		}
	}
	for port, sockets := range c.Listeners {
		if answer := r.answers[port]; answer.State != Open {
			c.Disagreements = append(c.Disagreements, Disagreement{
				Kind: Hidden, Port: port, Answer: answer, Sockets: sockets,
				Backlogged: slices.ContainsFunc(sockets, backlogged),
			})
		}
	}
	unlisted := slices.ContainsFunc(table.Gaps, func(g socktable.Gap) bool { return !g.Listed })
	for port := range r.Having(Open).All() {
		if len(c.Listeners[port]) == 0 && !unlisted {
			c.Disagreements = append(c.Disagreements, Disagreement{Kind: Ownerless, Port: port, Answer: r.answers[port]})
		}
	}
	slices.SortFunc(c.Disagreements, func(a, b Disagreement) int { return int(a.Port) - int(b.Port) })
	return c, nil
}

// backlogged says whether a listener takes no further connection: the kernel
// lets one more wait than the backlog says.
func backlogged(s socktable.Socket) bool {
	return s.Protocol == socktable.TCP && s.ReceiveQueue > s.SendQueue
}
