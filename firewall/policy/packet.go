package policy

import (
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// Packet says which packets they are.
func (b Breach) Packet() string {
	return b.text([]portset.Range{{First: b.First, Last: b.Last}})
}

// text says which packets they are, with ports in the place of the breach's own.
func (b Breach) text(ports []portset.Range) string {
	what := "port"
	if b.Protocol == string(sweep.ICMP) {
		what = "type"
	}
	var numbers []string
	for _, r := range ports {
		numbers = append(numbers, r.String())
	}
	text := fmt.Sprintf("%s from %s (%s) to %s, %s %s", b.Protocol, b.From, b.Source, b.To, what, strings.Join(numbers, ","))
	if b.State != "" && b.State != string(sweep.New) {
		text += ", " + b.State
	}
	if b.Nth > 0 {
		text += fmt.Sprintf(", packet %d within a second", b.Nth)
	}
	return text
}

// breach is what the packets of a question would be if none were answered as
// wanted, but for their ports.
func (q question) breach() Breach {
	return Breach{
		From: q.from, Source: q.sweep.Source, To: q.sweep.To, Protocol: string(q.sweep.Protocol), State: string(q.sweep.State), Nth: q.nth,
	}
}

// tellPackets notes in the outcomes what is asked.
func (c *checked) tellPackets() {
	for _, q := range c.questions {
		o := &c.outcomes[q.outcome]
		o.Packets = append(o.Packets, q.breach().text(q.sweep.Ports))
	}
}

// Decider is the rule that decided, with its place.
func (b Breach) Decider() string {
	switch {
	case b.Rule != nil:
		return b.Rule.String()
	case b.Actual.Action == verdict.Drop:
		return "no rule: the stack drops it, as what goes to an address that the machine has not, or comes from one that nobody may have"
	}
	return "no rule: there is none on the way"
}
