package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Coverage says which rules the packets of a policy meet.
type Coverage struct {
	Policy string    `json:"policy"`
	Rules  []Covered `json:"rules"`
	Notes  []string  `json:"notes,omitempty"`
}

// Use is how much a rule is met.
type Use string

const (
	// Met: packets of the policy meet it.
	Met Use = "met"
	// Untested: other packets meet it, none of the policy's.
	Untested Use = "untested"
	// Shadowed: every packet that it matches was decided about before.
	Shadowed Use = "shadowed"
	// Dead: no packet that was tried matches it where it stands.
	Dead Use = "dead"
)

// Covered is a rule and how it is met.
type Covered struct {
	firewall.Rule
	Use Use `json:"use"`
	// By are the expectations whose packets meet it, each with the line that it
	// stands in.
	By []Named `json:"by,omitempty"`
	// Shadows are the rules that decide before it about every packet that it
	// matches.
	Shadows []firewall.Rule `json:"shadows,omitempty"`
	// Why says why a rule is dead, as far as that is seen.
	Why string `json:"why,omitempty"`
	// Suggestion is an expectation that would meet an untested rule, to be
	// pasted.
	Suggestion string `json:"suggestion,omitempty"`
}

// Named is an expectation or a default.
type Named struct {
	Name string `json:"name"`
	Line int    `json:"line"`
}

// Of is how many rules have a use.
func (c *Coverage) Of(use Use) (n int) {
	for _, r := range c.Rules {
		if r.Use == use {
			n++
		}
	}
	return n
}

// Cover finds which rules the packets of a policy meet, which none does, and
// which no packet can.
func Cover(ctx context.Context, p *Policy, rules *firewall.Rules) (*Coverage, error) {
	s, err := openWhole(ctx, p, rules)
	if err != nil {
		return nil, err
	}
	c, err := s.cover(ctx)
	return c, errors.Join(err, s.Close())
}

func idOf(step sweep.Step) ruleset.RuleID {
	return ruleset.RuleID{Family: step.Family, Table: step.Table, Handle: step.Handle}
}

// covering is a session with what packets of its space meet.
type covering struct {
	*Session
	space []sweep.Sweep
	ways  []sweep.Way
	// leftOut is how many combinations of addresses and ports are not in the space.
	leftOut int
	// counted are the rules as they are asked about, counting those of them that go
	// by how many packets came before, and never those of these that no lone packet
	// matches.
	counted         *ruleset.Ruleset
	counting, never map[ruleset.RuleID]bool
}

func (s *Session) cover(ctx context.Context) (*Coverage, error) {
	met, err := s.metBy(ctx)
	if err != nil {
		return nil, err
	}
	c := &covering{Session: s}
	c.count()
	if err := s.Load(ctx, c.counted); err != nil {
		return nil, err
	}
	result := &Coverage{Policy: s.Policy.Path, Rules: []Covered{}, Notes: s.notes()}
	c.space, c.leftOut = s.space()
	if c.ways, err = s.traceAll(ctx, c.space); err != nil {
		return nil, err
	}
	reached := c.reached(c.space, c.ways)
	var missed []ruleset.RuleID
	var untested []int
	var packets []packet
	for i, r := range s.allRules() {
		covered := Covered{Rule: r}
		id := r.ID()
		its, reachable := reached[id]
		switch {
		case len(met[id]) > 0:
			covered.Use, covered.By = Met, met[id]
		case reachable && c.never[id]:
			covered.Use = Untested // and told of below, by other rules than are loaded
		case reachable:
			covered.Use = Untested
			untested, packets = append(untested, i), append(packets, its)
		default:
			covered.Use = Dead
			missed = append(missed, id)
		}
		result.Rules = append(result.Rules, covered)
	}
	if err := c.propose(ctx, result, untested, packets); err != nil {
		return nil, err
	}
	if len(missed) > 0 {
		if err := c.shadows(ctx, result, missed); err != nil {
			return nil, err
		}
	}
	for i := range result.Rules {
		r := &result.Rules[i]
		if packet, reachable := reached[r.ID()]; reachable && r.Use == Untested && c.never[r.ID()] {
			if err := c.afterOthers(ctx, r, packet); err != nil {
				return nil, err
			}
		}
	}
	return result, nil
}

// propose gives rules the expectations that would meet them.
func (c *covering) propose(ctx context.Context, result *Coverage, rules []int, packets []packet) error {
	suggestions, err := c.suggest(ctx, packets)
	for i, suggestion := range suggestions {
		result.Rules[rules[i]].Suggestion = suggestion
	}
	return err
}

// count finds the rules that go by how many packets came before.
func (c *covering) count() {
	var counting []ruleset.RuleID
	c.counted, counting = c.Rules.Counted()
	lone, _ := c.Rules.Lone()
	c.counting, c.never = map[ruleset.RuleID]bool{}, map[ruleset.RuleID]bool{}
	for _, id := range counting {
		_, _, there := lone.Find(id.Family, id.Table, id.Handle)
		c.counting[id], c.never[id] = true, !there
	}
}

// packet is one of a sweep.
type packet struct {
	sweep  sweep.Sweep
	number uint16
}

// reached are packets that meet each rule: where there are, new ones from an
// address that is the zone's to have, for the answers to others go elsewhere.
func (c *covering) reached(space []sweep.Sweep, ways []sweep.Way) map[ruleset.RuleID]packet {
	reached := map[ruleset.RuleID]packet{}
	for _, way := range ways {
		its := packet{space[way.Sweep], way.Number}
		for _, step := range way.Steps {
			before, known := reached[idOf(step)]
			if step.Handle != 0 && (!known || c.plainness(its) > c.plainness(before)) {
				reached[idOf(step)] = its
			}
		}
	}
	return reached
}

// plainness is more for packets that are better to tell of.
func (c *covering) plainness(p packet) (n int) {
	if p.sweep.State == sweep.New {
		n++
	}
	if zone, found := c.Policy.network(p.sweep.Source); !found || zone == p.sweep.Zone {
		n += 2
	}
	return n
}

// afterOthers tells of a rule that packets meet only after others of their kind.
func (c *covering) afterOthers(ctx context.Context, r *Covered, its packet) error {
	one := its.sweep
	one.Ports, one.Burst = []portset.Range{{First: its.number, Last: its.number}}, burstPackets
	r.Use, r.Shadows = Untested, nil
	nth := uint16(0)
	var err error
	if one.State == sweep.New {
		if nth, err = c.meetsNth(ctx, one, r.ID()); err != nil {
			return err
		}
	}
	if nth == 0 {
		r.Why = fmt.Sprintf("packets meet it only after others of their kind, and %d new ones in a row are too few", burstPackets)
		return nil
	}
	runs, err := c.burst(ctx, c.Rules.Ruleset, one)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.First <= nth && nth <= run.Last {
			r.Suggestion = c.expectationYAML(one, run, nth)
		}
	}
	return nil
}

// allRules are those of the ruleset that packets may come to.
func (s *Session) allRules() []firewall.Rule {
	var list []firewall.Rule
	for _, t := range s.Rules.Tables {
		if t.Dormant || t.Family == "arp" || t.Family == "bridge" {
			continue
		}
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				list = append(list, s.Rules.Rule(sweep.Step{Family: t.Family, Table: t.Name, Chain: c.Name, Handle: r.Handle}))
			}
		}
	}
	return list
}

// metBy are the expectations whose packets each rule is met by.
func (s *Session) metBy(ctx context.Context) (map[ruleset.RuleID][]Named, error) {
	c := s.questions()
	met := map[ruleset.RuleID][]Named{}
	note := func(ways []sweep.Way, of func(sweep.Way) question) {
		for _, way := range ways {
			o := c.outcomes[of(way).outcome]
			for _, step := range way.Steps {
				if by := (Named{o.Name, o.Line}); step.Handle != 0 && !slices.Contains(met[idOf(step)], by) {
					met[idOf(step)] = append(met[idOf(step)], by)
				}
			}
		}
	}
	lone, _ := s.Rules.Lone()
	if err := s.Load(ctx, lone); err != nil {
		return nil, err
	}
	var sweeps []sweep.Sweep
	var of []question
	for _, q := range c.questions {
		if q.nth > 0 {
			continue
		}
		q.sweep.Ports = s.telling(q.sweep)
		sweeps, of = append(sweeps, q.sweep), append(of, q)
	}
	ways, err := s.Trace(ctx, sweeps)
	if err != nil {
		return nil, err
	}
	note(ways, func(w sweep.Way) question { return of[w.Sweep] })
	for _, q := range c.questions {
		if q.nth == 0 {
			continue
		}
		if err := s.Load(ctx, s.Rules.Ruleset); err != nil {
			return nil, err
		}
		ways, err := s.Trace(ctx, []sweep.Sweep{q.sweep})
		if err != nil {
			return nil, err
		}
		ways = slices.DeleteFunc(ways, func(w sweep.Way) bool { return w.Number != q.nth })
		note(ways, func(sweep.Way) question { return q })
	}
	return met, nil
}

// telling are those of a sweep's ports that rules can tell apart from their
// neighbours, and the ends of its ranges.
func (s *Session) telling(one sweep.Sweep) []portset.Range {
	if one.Protocol == sweep.ICMP {
		return one.Ports
	}
	var list []portset.Range
	for _, r := range one.Ports {
		list = append(list, portset.Range{First: r.First, Last: r.First}, portset.Range{First: r.Last, Last: r.Last})
		for _, edge := range s.edges {
			list = append(list, portset.Range{First: max(edge.First, r.First), Last: min(edge.Last, r.Last)})
		}
	}
	return portset.Of(list...).Ranges()
}

// missing says which interfaces that rules name no zone of the policy has; "" where
// there is none.
func (s *Session) missing(rules *ruleset.Ruleset) string {
	there := func(fits func(name string) bool) bool {
		return slices.ContainsFunc(s.Policy.Zones, func(z Zone) bool { return fits(z.Interface) })
	}
	var names []string
	for _, name := range rules.Mentions() {
		if name != "lo" && !there(func(zone string) bool { return zone == name }) {
			names = append(names, name)
		}
	}
	for _, beginning := range rules.Patterns() {
		if !there(func(zone string) bool { return strings.HasPrefix(zone, beginning) }) {
			names = append(names, beginning+"*")
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "no zone of the policy has the interface " + strings.Join(names, ", ")
}

// differNot says in what packets that are tried do not differ.
func differNot(beyond []string) string { return "they do not differ in " + strings.Join(beyond, ", ") }
