package policy

import (
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// reach is how far a packet comes: by chain, the place of the rule that decided
// about it there, counted from 0, or undecided.
type reach map[string]int

// undecided is behind every rule.
const undecided = int(^uint(0) >> 1)

func chainOf(family, table, chain string) string { return family + " " + table + " " + chain }

// reachOf follows a packet through the chains. Of a chain that it comes to more
// than once, where it may be decided about in one place and then in another, it
// is taken to meet every rule.
func (m *mutating) reachOf(way sweep.Way) reach {
	r, entered, again := reach{}, map[string]int{}, map[string]bool{}
	come := func(chain string) {
		if _, known := r[chain]; !known {
			r[chain] = undecided
		}
	}
	for _, step := range way.Steps {
		come(chainOf(step.Family, step.Table, step.Base))
		here := chainOf(step.Family, step.Table, step.Chain)
		come(here)
		if step.Verdict.Chain != "" {
			there := chainOf(step.Family, step.Table, step.Verdict.Chain)
			come(there)
			entered[there]++
			again[there] = entered[there] > 1
		}
		if step.Handle != 0 && (step.Verdict.Final() || step.Verdict.Code == nftrace.Goto || step.Verdict.Code == nftrace.Returned) {
			r[here] = min(r[here], m.place(step))
		}
	}
	for chain, twice := range again {
		if twice {
			r[chain] = undecided
		}
	}
	return r
}

// place is that of a rule in its chain, counted from 0.
func (s *Session) place(step sweep.Step) int { return s.places[idOf(step)] }

func placesOf(r *ruleset.Ruleset) map[ruleset.RuleID]int {
	places := map[ruleset.RuleID]int{}
	for _, t := range r.Tables {
		for _, c := range t.Chains {
			for i, rule := range c.Rules {
				places[ruleset.RuleID{Family: t.Family, Table: t.Name, Handle: rule.Handle}] = i
			}
		}
	}
	return places
}

// affects says whether a mutant may answer a packet otherwise that comes so far:
// one that was decided about before the rule never meets it.
func (m *mutating) affects(mutant ruleset.Mutant, r reach) bool {
	if mutant.Handle == 0 && mutant.Mutation != ruleset.FlipPolicy {
		return true // of a set, which may be used anywhere
	}
	decided, come := r[chainOf(mutant.Family, mutant.Table, mutant.Chain)]
	if !come {
		return false
	}
	if mutant.Handle == 0 {
		return decided == undecided
	}
	place := m.places[ruleset.RuleID{Family: mutant.Family, Table: mutant.Table, Handle: mutant.Handle}]
	if mutant.Mutation == ruleset.SwapRules {
		place--
	}
	return decided >= place
}

// affected are the packets of the space that a mutant may answer otherwise, and
// the sweep of the space that each is of.
func (m *mutating) affected(mutant ruleset.Mutant) (sweeps []sweep.Sweep, of []int) {
	ports := make([][]portset.Range, len(m.space))
	for i, way := range m.ways {
		if m.affects(mutant, m.reached[i]) {
			ports[way.Sweep] = firewall.AppendPort(ports[way.Sweep], way.Number)
		}
	}
	for i, its := range ports {
		if len(its) > 0 {
			one := m.space[i]
			one.Ports = its
			sweeps, of = append(sweeps, one), append(of, i)
		}
	}
	return slices.Clip(sweeps), of
}
