package nftrace

import (
	"bytes"
	"slices"
	"strings"
)

// Packet is one packet's way, from the first base chain that was seen to the
// last.
type Packet struct {
	// IDs are the numbers that the kernel gave it: over lo one on its way out
	// and another on its way in.
	IDs []uint32 `json:"ids"`
	// Head is the packet as it was first seen.
	Head *Head `json:"head,omitempty"`
	// Traversals are the base chains it passed, in order. Those that mark
	// packets for tracing are left out.
	Traversals []Traversal `json:"traversals,omitempty"`
}

// Traversal is a packet's way through one base chain and the chains that led
// on from there.
type Traversal struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	// Chain is the base chain. Where tracing was switched on in the middle, by
	// a rule of the ruleset itself, it is the chain of that rule.
	Chain string `json:"chain"`
	// Head is the packet as it came here: address translation may have changed
	// it on its way.
	Head *Head `json:"head,omitempty"`
	// Steps are the rules that matched, the ends of chains that were jumped to,
	// and the policy.
	Steps []Event `json:"steps"`
}

// Decision is the step at which the base chain was done with the packet. There
// is none where messages are missing.
func (t Traversal) Decision() (step Event, decided bool) {
	if len(t.Steps) == 0 {
		return Event{}, false
	}
	last := t.Steps[len(t.Steps)-1]
	return last, last.Verdict.Final()
}

// Decision is the step that decided what became of the packet: that which
// dropped, kept or queued it, or the last that accepted it. There is none where
// no base chain but those that mark packets met it, or messages are missing.
func (p Packet) Decision() (step Event, decided bool) {
	for _, t := range p.Traversals {
		step, decided = t.Decision()
		if decided && step.Verdict.Code != Accept {
			return step, true
		}
	}
	return step, decided
}

// Dropped is Decision where that was to drop the packet, and false otherwise.
func (p Packet) Dropped() (by Event, dropped bool) {
	step, decided := p.Decision()
	return step, decided && step.Verdict.Code == Drop
}

// Rules are all the rules that matched the packet, in order.
func (p Packet) Rules() []Event {
	var rules []Event
	for _, t := range p.Traversals {
		for _, step := range t.Steps {
			if step.Handle != 0 {
				rules = append(rules, step)
			}
		}
	}
	return rules
}

// Gatherer puts events together to packets. The zero value is ready.
type Gatherer struct {
	packets []*gathering
	// current is the last packet of each number.
	current map[uint32]*gathering
}

// gathering is a packet to which more may come.
type gathering struct {
	Packet
	// passed are the base chains of the half, out or in, that it is in.
	passed map[string]bool
	// table is that of the traversal under way, and own says that its chain
	// marks packets.
	table string
	own   bool
	// last is the packet as it came to the latest base chain.
	last *Head
	// ended says that nothing can come any more.
	ended bool
	// crossed says that it was recognised on its way in over lo.
	crossed bool
}

// Add takes the next event and returns the packet that it is of, as far as it is
// known by now. Events have to come in the order in which the kernel sent them.
func (g *Gatherer) Add(e Event) Packet {
	if g.current == nil {
		g.current = map[uint32]*gathering{}
	}
	p := g.current[e.ID]
	if p == nil || p.isOver(e) {
		p = g.find(e)
		g.current[e.ID] = p
	}
	p.add(e)
	return p.copy()
}

// Packets are those gathered so far, in the order in which they were first
// seen. They share nothing with the gatherer.
func (g *Gatherer) Packets() []Packet {
	packets := make([]Packet, 0, len(g.packets))
	for _, p := range g.packets {
		packets = append(packets, p.copy())
	}
	return packets
}

func (p *gathering) copy() Packet {
	packet := p.Packet
	packet.IDs = slices.Clone(p.IDs)
	packet.Traversals = slices.Clone(p.Traversals)
	for i, t := range packet.Traversals {
		packet.Traversals[i].Steps = slices.Clone(t.Steps)
	}
	return packet
}

// isOver says that an event of the packet's number is of another packet.
func (p *gathering) isOver(e Event) bool {
	// No packet passes a base chain twice, nor any after it was dropped.
	return e.Head != nil && (p.ended || p.passed[e.Named()])
}

// find is the packet that a new number belongs to: one that left over lo just
// before, or a new one.
func (g *Gatherer) find(e Event) *gathering {
	if e.Head != nil && e.Head.In != nil && e.Head.In.Index == loopback {
		for i := len(g.packets) - 1; i >= 0; i-- {
			if p := g.packets[i]; p.crossesTo(e.Head) {
				p.crossed = true
				p.begin(e.ID)
				return p
			}
		}
	}
	p := &gathering{}
	p.begin(e.ID)
	g.packets = append(g.packets, p)
	return p
}

func (p *gathering) begin(id uint32) {
	p.IDs = append(p.IDs, id)
	p.passed = map[string]bool{}
}

// crossesTo says that the packet left over lo as what now came in there. A
// retransmission that differs in nothing is taken for the later one.
func (p *gathering) crossesTo(in *Head) bool {
	if p.crossed || p.ended || p.last == nil || p.last.Out == nil || p.last.Out.Index != loopback {
		return false
	}
	if bytes.Equal(p.last.Network, in.Network) && bytes.Equal(p.last.Transport, in.Transport) {
		return true
	}
	// Source address translation comes after the last chain that reported the
	// packet, and keeps what RFC 791 has for telling packets apart.
	a, b := p.last.Packet, in.Packet
	return a.Version == 4 && b.Version == 4 && a.ID != 0 &&
		a.ID == b.ID && a.Protocol == b.Protocol && a.Length == b.Length
}

func (p *gathering) add(e Event) {
	if e.Head != nil {
		p.passed[e.Named()] = true
		p.last = e.Head
		if p.Head == nil {
			p.Head = e.Head
		}
	}
	// A way through a base chain stays in its table: where an event is of
	// another and has no head, that was lost.
	if table := e.Family + " " + e.Table; e.Head != nil || table != p.table {
		p.table, p.own = table, marks(e)
		if !p.own {
			p.Traversals = append(p.Traversals, Traversal{Family: e.Family, Table: e.Table, Chain: e.Chain, Head: e.Head})
		}
	}
	if p.own {
		return
	}
	t := &p.Traversals[len(p.Traversals)-1]
	if e.Type == Return && e.Handle == 0 && e.Chain == t.Chain {
		// The policy, which follows, says as much.
		return
	}
	// The event has the head that its traversal has.
	e.Head = nil
	t.Steps = append(t.Steps, e)
	p.ended = e.Verdict.Final() && e.Verdict.Code != Accept && e.Verdict.Code != Queue
}

// marks says that an event is of a chain that Mark made.
func marks(e Event) bool {
	return e.Family == "inet" && strings.HasPrefix(e.Table, tablePrefix)
}
