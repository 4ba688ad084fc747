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
		var twins []Set
		for j, c := range chains {
			if c.Bound {
				continue
			}
			var probes []Rule
			for _, rule := range c.Rules {
				if !slices.Contains(rules, RuleID{t.Family, t.Name, rule.Handle}) {
					continue
				}
				if probe, sets, ok := rule.matching(t); ok {
					probes = append(probes, probe)
					twins = append(twins, sets...)
				}
			}
			chains[j].Rules = slices.Concat(probes, c.Rules)
		}
		whole.Tables[i].Chains, whole.Tables[i].Sets = chains, slices.Concat(t.Sets, twins)
	}
	return &whole
}

// matching is the rule without what it does to a packet. A set that is part of
// the rule cannot be part of two, so that it has a twin of each.
func (r Rule) matching(t Table) (probe Rule, twins []Set, ok bool) {
	b, ok := bodyOf(r)
	if !ok {
		return r, nil, false
	}
	b = slices.Clone(b.comparing())
	for i, e := range b {
		at := slices.IndexFunc(t.Sets, func(s Set) bool { return s.Anonymous && e.name == "lookup" && s.Name == e.data.Text(lookupSet) })
		if at < 0 {
			continue
		}
		twin, err := t.Sets[at].named(t.Sets[at].Name + "-probe")
		if err != nil {
			return r, nil, false
		}
		twins = append(twins, twin)
		b[i].data = e.data.With(lookupSet, zeroEnded(twin.Name))
	}
	probe, ok = b.rule(r)
	return probe, twins, ok
}

// comparing is what of a rule compares packets, without what it does to them.
func (b body) comparing() body {
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
	return b[:end]
}

// named is the set by another name.
func (s Set) named(name string) (Set, error) {
	a, err := nfnl.Parse(s.Attributes)
	if err != nil {
		return s, err
	}
	s.Name = name
	s.Attributes, err = a.With(setName, zeroEnded(name)).Encode()
	return s, err
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
