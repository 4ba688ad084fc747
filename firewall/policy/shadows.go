package policy

import (
	"context"
	"maps"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// shadows finds, for rules that no packet meets, which packets they would match
// and what decides about those.
func (c *covering) shadows(ctx context.Context, result *Coverage, missed []ruleset.RuleID) error {
	if err := c.Load(ctx, c.counted.Probing(missed)); err != nil {
		return err
	}
	probed, err := c.traceAll(ctx, c.space)
	if err != nil {
		return err
	}
	deciders := map[ruleset.RuleID]map[firewall.Rule]bool{}
	late := map[ruleset.RuleID]packet{}
	for i, way := range probed {
		for _, step := range way.Steps {
			id := idOf(step)
			if step.Handle == 0 || step.Verdict.Code != nftrace.Continue || !slices.Contains(missed, id) {
				continue
			}
			if deciders[id] == nil {
				deciders[id] = map[firewall.Rule]bool{}
			}
			decided, found := c.before(c.ways[i], step)
			if !found {
				continue
			}
			deciders[id][c.Rules.Rule(decided)] = true
			if c.counting[idOf(decided)] && c.space[way.Sweep].State == sweep.New {
				late[id] = packet{c.space[way.Sweep], way.Number}
			}
		}
	}
	met, err := c.own(ctx, missed, deciders)
	if err != nil {
		return err
	}
	var untested []int
	var packets []packet
	for i := range result.Rules {
		r := &result.Rules[i]
		if r.Use != Dead {
			continue
		}
		id := r.ID()
		its, behindCounting := late[id]
		own, reachable := met[id]
		switch {
		case behindCounting:
			if err := c.afterOthers(ctx, r, its); err != nil {
				return err
			}
		case len(deciders[id]) > 0:
			r.Use = Shadowed
			r.Shadows = slices.SortedFunc(maps.Keys(deciders[id]), func(a, b firewall.Rule) int { return int(a.Handle) - int(b.Handle) })
		case reachable:
			r.Use = Untested
			untested, packets = append(untested, i), append(packets, own)
		case !c.referred(r.Rule):
			r.Why = "nothing leads to its chain"
		default:
			r.Why = c.whyDead(c.Rules.Only(id))
		}
	}
	if err := c.Load(ctx, c.counted); err != nil {
		return err
	}
	return c.propose(ctx, result, untested, packets)
}

// own asks, where the space leaves something out, about the packets of rules that
// no packet of the space matched, each with its own addresses and ports.
func (c *covering) own(ctx context.Context, missed []ruleset.RuleID, deciders map[ruleset.RuleID]map[firewall.Rule]bool) (map[ruleset.RuleID]packet, error) {
	if c.leftOut == 0 {
		return nil, nil
	}
	var space []sweep.Sweep
	leftOut := 0
	for _, id := range missed {
		if len(deciders[id]) > 0 {
			continue
		}
		its, out := c.spaceOf(c.Rules.Only(id), exactly)
		if count(space)+count(its) > maxPackets {
			leftOut++
			continue
		}
		space, leftOut = append(space, its...), leftOut+out
	}
	c.leftOut = leftOut
	if err := c.Load(ctx, c.counted); err != nil {
		return nil, err
	}
	ways, err := c.traceAll(ctx, space)
	if err != nil {
		return nil, err
	}
	return c.reached(space, ways), nil
}

// whyDead says why no packet meets a rule, as far as that is seen.
func (c *covering) whyDead(rule *ruleset.Ruleset) string {
	const none = "no packet that was tried matches it"
	missing, beyond := c.missing(rule), rule.Beyond()
	switch {
	case missing != "":
		return none + ", but " + missing
	case len(beyond) > 0:
		return none + ", but " + differNot(beyond)
	case c.leftOut > 0:
		return none + ", but not every address that the rules compare with was combined with every other"
	}
	return none + ": from every zone, of every protocol and state, around every port and address that the rules compare with"
}

// before is the step at which a packet that a rule would match was decided about
// before it came to the rule; false where it passed the rule, which then did not
// match it there.
func (c *covering) before(way sweep.Way, rule sweep.Step) (sweep.Step, bool) {
	place := c.place(rule)
	entered, called := false, map[string]bool{}
	for _, step := range way.Steps {
		same := step.Family == rule.Family && step.Table == rule.Table
		entered = entered || same && step.Verdict.Chain == rule.Chain
		if !same || step.Chain != rule.Chain {
			continue
		}
		switch {
		case step.Handle == 0 || c.place(step) >= place:
			return sweep.Step{}, false
		case step.Verdict.Code == nftrace.Jump:
			called[step.Verdict.Chain] = true
		case step.Verdict.Code != nftrace.Continue:
			return step, true
		}
	}
	decided, found := way.Decision()
	if !found {
		return decided, false
	}
	// What decides after the end of a chain that was jumped to is no shadow in it.
	if entered && len(called) == 0 {
		return sweep.Step{}, false
	}
	return decided, true
}

// referred says that a rule's chain hangs on a hook, or a rule leads to it.
func (s *Session) referred(r firewall.Rule) bool {
	c, found := s.Rules.Chain(r.Family, r.Table, r.Chain)
	return found && (c.Base != nil || s.Rules.LeadsTo(r.Family, r.Table, r.Chain))
}
