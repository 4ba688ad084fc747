package ruleset

import (
	"slices"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// RuleID names a rule within a ruleset.
type RuleID struct {
	Family, Table string
	Handle        uint64
}

// Probing is a ruleset in which some rules stand at the beginning of their
// chains as well, where they match and do nothing: a trace then shows which
// packets they would match, whatever stands before them. The steps of a trace
// that come from there have the verdict continue.
func (r *Ruleset) Probing(rules []RuleID) *Ruleset {
	whole := *r
	whole.Tables = slices.Clone(r.Tables)
	for i, t := range whole.Tables {
		chains := slices.Clone(t.Chains)
		for j, c := range chains {
			if c.Bound {
				continue
			}
			var probes []Rule
			for _, rule := range c.Rules {
				if !slices.Contains(rules, RuleID{t.Family, t.Name, rule.Handle}) {
					continue
				}
				if probe, ok := rule.matching(); ok {
					probes = append(probes, probe)
				}
			}
			chains[j].Rules = slices.Concat(probes, c.Rules)
		}
		whole.Tables[i].Chains = chains
	}
	return &whole
}

// matching is the rule without what it does to a packet. One with a set or a
// chain of its own cannot stand twice.
func (r Rule) matching() (Rule, bool) {
	b, ok := bodyOf(r)
	if !ok {
		return r, false
	}
	end := 0
	for _, m := range b.matches() {
		if len(m.ends) > 0 {
			end = m.ends[len(m.ends)-1] + 1
		}
	}
	for i, e := range b {
		if e.name == "match" {
			end = max(end, i+1)
		}
	}
	return b[:end].rule(r)
}

// LeadsTo says that a rule, or a map, leads to a chain.
func (r *Ruleset) LeadsTo(family, table, chain string) bool {
	for _, t := range r.Tables {
		if t.Family != family || t.Name != table {
			continue
		}
		for _, c := range t.Chains {
			if slices.ContainsFunc(c.Rules, func(rule Rule) bool { return slices.Contains(rule.refersTo().chains, chain) }) {
				return true
			}
		}
		for _, s := range t.Sets {
			for _, element := range s.Elements {
				e, err := nfnl.Parse(element)
				if err == nil && e.Nested(elementData).Nested(dataVerdict).Text(verdictChain) == chain {
					return true
				}
			}
		}
	}
	return false
}
