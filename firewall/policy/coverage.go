package policy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/nftrace"
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
	s, err := Open(ctx, p, rules, thin(ownable(p, rules))...)
	if err != nil {
		return nil, err
	}
	c, err := s.cover(ctx)
	return c, errors.Join(err, s.Close())
}

func idOf(step sweep.Step) ruleset.RuleID {
	return ruleset.RuleID{Family: step.Family, Table: step.Table, Handle: step.Handle}
}

func (s *Session) cover(ctx context.Context) (*Coverage, error) {
	met, err := s.metBy(ctx)
	if err != nil {
		return nil, err
	}
	c := &Coverage{Policy: s.Policy.Path, Rules: []Covered{}}
	lone, _ := s.Rules.Lone()
	if err := s.Load(ctx, lone); err != nil {
		return nil, err
	}
	c.Notes = s.notes()
	space := s.space()
	ways, err := s.Trace(ctx, space)
	if err != nil {
		return nil, err
	}
	reached := map[ruleset.RuleID]sweep.Way{}
	for _, way := range ways {
		for _, step := range way.Steps {
			if _, known := reached[idOf(step)]; !known && step.Handle != 0 {
				reached[idOf(step)] = way
			}
		}
	}
	var missed []ruleset.RuleID
	for _, r := range s.allRules() {
		covered := Covered{Rule: r}
		id := ruleset.RuleID{Family: r.Family, Table: r.Table, Handle: r.Handle}
		way, reachable := reached[id]
		switch {
		case len(met[id]) > 0:
			covered.Use, covered.By = Met, met[id]
		case reachable:
			covered.Use = Untested
			covered.Suggestion = s.suggest(ctx, space[way.Sweep], way.Number)
		default:
			covered.Use = Dead
			missed = append(missed, id)
		}
		c.Rules = append(c.Rules, covered)
	}
	if len(missed) > 0 {
		if err := s.shadows(ctx, c, missed, space, ways); err != nil {
			return nil, err
		}
	}
	return c, nil
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

// shadows finds, for rules that no packet meets, which packets they would match
// and what decides about those.
func (s *Session) shadows(ctx context.Context, c *Coverage, missed []ruleset.RuleID, space []sweep.Sweep, ways []sweep.Way) error {
	lone, _ := s.Rules.Lone()
	if err := s.Load(ctx, lone.Probing(missed)); err != nil {
		return err
	}
	probed, err := s.Trace(ctx, space)
	if err != nil {
		return err
	}
	deciders := map[ruleset.RuleID]map[firewall.Rule]bool{}
	for i, way := range probed {
		for _, step := range way.Steps {
			id := idOf(step)
			if step.Handle == 0 || step.Verdict.Code != nftrace.Continue || !slices.Contains(missed, id) {
				continue
			}
			if deciders[id] == nil {
				deciders[id] = map[firewall.Rule]bool{}
			}
			if decided, found := before(ways[i], step); found {
				deciders[id][s.Rules.Rule(decided)] = true
			}
		}
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Use != Dead {
			continue
		}
		id := ruleset.RuleID{Family: r.Family, Table: r.Table, Handle: r.Handle}
		its, matched := deciders[id]
		unasked := s.unasked(s.Rules.Only(id))
		switch {
		case matched && len(its) > 0:
			r.Use = Shadowed
			r.Shadows = slices.SortedFunc(maps.Keys(its), func(a, b firewall.Rule) int { return int(a.Handle) - int(b.Handle) })
		case !s.referred(r.Rule):
			r.Why = "nothing leads to its chain"
		case unasked != "":
			r.Why = "no packet that was tried matches it, but " + unasked
		default:
			r.Why = "no packet that was tried matches it: from every zone, of every protocol and state, around every port and address that the rules compare with"
		}
	}
	return nil
}

// before is the step at which a packet left the chain of a rule, or did not come
// to it.
func before(way sweep.Way, rule sweep.Step) (sweep.Step, bool) {
	for _, step := range way.Steps {
		if step.Family == rule.Family && step.Table == rule.Table && step.Chain == rule.Chain && step.Handle != 0 && step.Verdict.Code != nftrace.Continue && step.Verdict.Code != nftrace.Jump {
			return step, true
		}
	}
	return way.Decision()
}

// referred says that a rule's chain hangs on a hook, or a rule leads to it.
func (s *Session) referred(r firewall.Rule) bool {
	c, found := s.Rules.Chain(r.Family, r.Table, r.Chain)
	return found && (c.Base != nil || s.Rules.LeadsTo(r.Family, r.Table, r.Chain))
}

// unasked says why packets of other kinds than those that are tried may meet some
// rules; "" where rules go by nothing else.
func (s *Session) unasked(rules *ruleset.Ruleset) string {
	there := func(fits func(name string) bool) bool {
		return slices.ContainsFunc(s.Policy.Zones, func(z Zone) bool { return fits(z.Interface) })
	}
	var missing []string
	for _, name := range rules.Mentions() {
		if name != "lo" && !there(func(zone string) bool { return zone == name }) {
			missing = append(missing, name)
		}
	}
	for _, beginning := range rules.Patterns() {
		if !there(func(zone string) bool { return strings.HasPrefix(zone, beginning) }) {
			missing = append(missing, beginning+"*")
		}
	}
	beyond := rules.Beyond()
	switch {
	case len(missing) > 0:
		return "no zone of the policy has the interface " + strings.Join(missing, ", ")
	case len(beyond) > 0:
		return "they do not differ in " + strings.Join(beyond, ", ")
	}
	return ""
}
