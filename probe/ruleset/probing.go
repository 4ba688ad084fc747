package ruleset

import (
	"fmt"
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
	for i := range whole.Tables {
		t := &whole.Tables[i]
		t.Chains, t.Sets = slices.Clone(t.Chains), slices.Clone(t.Sets)
		for j, c := range t.Chains {
			if c.Bound {
				continue
			}
			var probes []Rule
			for _, rule := range c.Rules {
				if !slices.Contains(rules, RuleID{t.Family, t.Name, rule.Handle}) {
					continue
				}
				if probe, ok := t.matching(rule); ok {
					probes = append(probes, probe)
				}
			}
			t.Chains[j].Rules = slices.Concat(probes, c.Rules)
		}
	}
	return &whole
}

// matching is a rule without what it does to a packet. A set that is a part of
// it is made again: it cannot be one of two rules.
func (t *Table) matching(r Rule) (Rule, bool) {
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
	b = slices.Clone(b[:end])
	for i, e := range b {
		if e.name != "lookup" {
			continue
		}
		name := e.data.Text(lookupSet)
		k := slices.IndexFunc(t.Sets, func(s Set) bool { return s.Name == name && s.Anonymous })
		if k < 0 {
			continue
		}
		again := t.Sets[k]
		again.Name = fmt.Sprintf("%s-%d-%d", name, r.Handle, i)
		a, err := nfnl.Parse(again.Attributes)
		if err != nil {
			return r, false
		}
		if again.Attributes, err = a.With(setName, zeroEnded(again.Name)).Encode(); err != nil {
			return r, false
		}
		t.Sets = append(t.Sets, again)
		b[i] = expression{e.name, e.data.With(lookupSet, zeroEnded(again.Name))}
	}
	return b.rule(r)
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
