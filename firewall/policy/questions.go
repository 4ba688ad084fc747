package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// fewer are the questions about those ports alone that rules can tell from
// their neighbours, and mutants of them.
func (s *Session) fewer() *checked {
	c := s.questions()
	for i := range c.questions {
		if q := &c.questions[i]; q.nth == 0 {
			q.sweep.Ports = s.telling(q.sweep)
		}
	}
	return c
}

// questions lists what is asked about each expectation, and then about each
// default.
func (s *Session) questions() *checked {
	c := &checked{of: map[int][]int{}}
	for _, e := range s.Policy.Expectations {
		o := Outcome{Name: e.Name, Line: e.Line, Expected: e.Verdict.Text}
		if e.Arrives.IsValid() {
			o.Expected += " at " + e.Arrives.String()
		}
		before := len(c.questions)
		for _, family := range e.Families {
			if !slices.Contains(s.Families(), family) {
				continue
			}
			for _, source := range s.sources(e, family) {
				for _, to := range s.destinations(e.To, e.From, e.Destinations, family) {
					c.questions = append(c.questions, question{
						outcome: len(c.outcomes), sweep: e.sweep(source, to), wanted: e.Verdict, nth: e.Nth, arrives: e.Arrives, from: e.From,
					})
				}
			}
		}
		if len(c.questions) == before {
			o.Skipped = "no address of the families that it is about"
			if s.WithoutIPv6 != "" {
				o.Skipped += ": " + s.WithoutIPv6
			}
		}
		c.outcomes = append(c.outcomes, o)
	}
	for _, d := range s.Policy.Defaults {
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
			for _, family := range s.Families() {
				e := Expectation{From: d.From, To: d.To, Protocol: protocol, State: sweep.New, Ports: s.Policy.rest(d, protocol, family)}
				if len(e.Ports) == 0 {
					continue
				}
				for _, source := range s.sources(e, family) {
					for _, to := range s.destinations(d.To, d.From, nil, family) {
						c.questions = append(c.questions, question{outcome: len(c.outcomes), sweep: e.sweep(source, to), wanted: d.Verdict, from: d.From})
					}
				}
			}
		}
		c.outcomes = append(c.outcomes, Outcome{Name: d.Name(), Line: d.Line, Expected: d.Verdict.Text})
	}
	return c
}

// Name says what is expected.
func (d Default) Name() string {
	to := ""
	if d.To != Machine {
		to = " to " + d.To
	}
	return fmt.Sprintf("everything else from %s%s: %s", d.From, to, d.Verdict.Text)
}

// rest are the ports that no expectation from a zone's own address is about.
func (p *Policy) rest(d Default, protocol sweep.Protocol, family sock.Family) []portset.Range {
	var about []portset.Range
	for _, e := range p.Expectations {
		if e.From == d.From && e.To == d.To && e.Protocol == protocol && e.State == sweep.New && slices.Contains(e.Families, family) {
			about = append(about, e.Ports...)
		}
	}
	return portset.All().Without(portset.Of(about...)).Ranges()
}

func (e Expectation) sweep(source, to netip.Addr) sweep.Sweep {
	zone := e.From
	if zone == firewall.Loopback {
		zone = Machine
	}
	s := sweep.Sweep{Zone: zone, Source: source, To: to, SourcePort: e.SourcePort, Protocol: e.Protocol, State: e.State, Ports: e.Ports}
	if e.Nth > 0 {
		s.Burst = e.Nth
	}
	return s
}

// sources are the addresses that packets of an expectation come from.
func (s *Session) sources(e Expectation, family sock.Family) []netip.Addr {
	if len(e.Sources) > 0 {
		return s.Policy.sourceEnds(e.Sources, e.From, family)
	}
	zone := e.From
	if zone == firewall.Loopback {
		zone = Machine
		if e.To != Machine {
			return valid(s.Own(e.To, family)) // on its way out
		}
	}
	return valid(s.Host(zone, family))
}

// destinations are the addresses that packets go to.
func (s *Session) destinations(to, from string, given []netip.Prefix, family sock.Family) []netip.Addr {
	switch {
	case len(given) > 0:
		return s.Policy.destinationEnds(given, from, to, family)
	case to != Machine:
		return valid(s.Host(to, family))
	case from == firewall.Loopback:
		return valid(s.Own(Machine, family))
	}
	return valid(s.Own(from, family))
}

func valid(a netip.Addr) []netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return []netip.Addr{a}
}
