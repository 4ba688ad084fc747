package ruleset

import (
	"fmt"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// addRules adds the rules, each with the sets and chains that are parts of it.
func (p *plan) addRules(family uint8, t Table, left *leftOut) error {
	r := rules{plan: p, family: family, table: t, left: left, chains: map[string]Chain{}, sets: map[string]Set{}}
	for _, c := range t.Chains {
		if c.Bound {
			r.chains[c.Name] = c
		}
	}
	for _, s := range t.Sets {
		if s.Anonymous {
			r.sets[s.Name] = s
		}
	}
	for _, c := range t.Chains {
		if c.Bound {
			continue
		}
		for _, rule := range c.Rules {
			if left.rules[rule.Handle] {
				continue
			}
			var u unit
			if err := r.add(&u, c, rule); err != nil {
				return err
			}
			p.units = append(p.units, u)
		}
	}
	return nil
}

// rules adds those of a table.
type rules struct {
	plan   *plan
	family uint8
	table  Table
	left   *leftOut
	// chains and sets are those that are parts of rules.
	chains map[string]Chain
	sets   map[string]Set
}

// add adds what is a part of the rule first: a chain with its rules is closed,
// and a set is constant, once a rule uses it.
func (r *rules) add(u *unit, c Chain, rule Rule) error {
	refers := rule.refersTo()
	for _, name := range refers.sets {
		s, found := r.sets[name]
		if !found {
			continue
		}
		delete(r.sets, name)
		if err := r.plan.addSet(u, r.family, r.table, s); err != nil {
			return err
		}
	}
	for _, name := range refers.chains {
		inner, found := r.chains[name]
		if !found {
			continue
		}
		delete(r.chains, name)
		if err := r.addBound(u, inner); err != nil {
			return err
		}
	}
	a, err := r.prepared(c, rule)
	if err != nil {
		return err
	}
	chain := r.table.Family + " " + r.table.Name + " " + c.Name
	r.plan.order[chain] = append(r.plan.order[chain], rule.Handle)
	return u.add(nfnl.NewRule, r.family, netlink.Append, a, Refusal{Kind: "rule", Name: c.Name, Handle: rule.Handle}, r.table)
}

func (r *rules) addBound(u *unit, c Chain) error {
	a, err := nfnl.Parse(c.Attributes)
	if err != nil {
		return err
	}
	a = a.Without(chainHandle, chainUse, chainPad, chainFlags).WithUint32(chainFlags, flagBound)
	if err := u.add(nfnl.NewChain, r.family, 0, a, Refusal{Kind: "chain", Name: c.Name}, r.table); err != nil {
		return err
	}
	for _, rule := range c.Rules {
		if err := r.add(u, c, rule); err != nil {
			return err
		}
	}
	return nil
}

// prepared are the rule's attributes as the kernel takes them.
func (r *rules) prepared(c Chain, rule Rule) (nfnl.Attributes, error) {
	a, err := nfnl.Parse(rule.Attributes)
	if err != nil {
		return nil, err
	}
	if protocol, inverted, needed := compat(expressions(a), r.family); needed {
		b, err := compatAttribute(protocol, inverted)
		if err != nil {
			return nil, err
		}
		a = append(a.Without(ruleCompat), netlink.Attribute{Type: ruleCompat | netlink.Nested, Data: b})
	}
	if a, err = acceptable(a); err != nil {
		return nil, err
	}
	if a, err = r.plan.translateIndexes(a, r.table, c, rule); err != nil {
		return nil, err
	}
	return a.Without(ruleHandle, rulePosition, rulePad), nil
}

// acceptable takes out of expressions what the kernel writes and does not read.
func acceptable(rule nfnl.Attributes) (nfnl.Attributes, error) {
	elements := rule.Nested(ruleExpressions)
	for i, element := range elements {
		e, err := nfnl.Parse(element.Data)
		if err != nil {
			return nil, err
		}
		data := e.Nested(expressionData)
		name := e.Text(expressionName)
		unread := unreadAttributes(name, data)
		if name == "quota" && data.Uint32(quotaFlags)&^flagOver != 0 {
			// That it is used up is told and not taken (nft_quota_do_init,
			// net/netfilter/nft_quota.c).
			data = data.WithUint32(quotaFlags, data.Uint32(quotaFlags)&flagOver)
			unread = append(unread, quotaPad)
		}
		if len(unread) == 0 {
			continue
		}
		inner, err := data.Without(unread...).Encode()
		if err != nil {
			return nil, err
		}
		encoded, err := e.With(expressionData, inner).Encode()
		if err != nil {
			return nil, err
		}
		elements[i] = netlink.Attribute{Type: element.Type, Data: encoded}
	}
	if len(elements) == 0 {
		return rule, nil
	}
	list, err := elements.Encode()
	if err != nil {
		return nil, err
	}
	return rule.With(ruleExpressions, list), nil
}

const (
	quotaFlags    = 2
	quotaPad      = 3
	flagOver      = 1 // NFT_QUOTA_F_INV
	dynsetTimeout = 6
	exthdrTarget  = 1
	exthdrOffset  = 3
	exthdrLength  = 4
	exthdrFlags   = 5
	exthdrSource  = 7
)

func unreadAttributes(name string, data nfnl.Attributes) []uint16 {
	has := func(t uint16) bool { _, found := data.Find(t); return found }
	switch {
	// A timeout of 0 is none, and none can be given where the set has no
	// timeouts (nft_dynset_init, net/netfilter/nft_dynset.c).
	case name == "dynset" && data.Uint64(dynsetTimeout) == 0:
		return []uint16{dynsetTimeout}
	// What writes an option takes no flags, and what removes one nothing but
	// its kind (nft_exthdr_tcp_set_init and nft_exthdr_tcp_strip_init,
	// net/netfilter/nft_exthdr.c).
	case name == "exthdr" && has(exthdrSource):
		return []uint16{exthdrFlags}
	case name == "exthdr" && !has(exthdrTarget):
		return []uint16{exthdrFlags, exthdrOffset, exthdrLength}
	}
	return nil
}

// pair matches the copy's rules with the originals. Rules keep their order
// within a chain, and a namespace that was empty before has no others.
func (p *plan) pair(copied *Ruleset) (*Copy, error) {
	result := p.copied
	result.Handles = map[string]map[uint64]uint64{}
	paired := map[string]bool{}
	for _, t := range copied.Tables {
		name := t.Family + " " + t.Name
		for _, c := range t.Chains {
			original, ours := p.order[name+" "+c.Name]
			if !ours {
				continue
			}
			if len(c.Rules) != len(original) {
				return nil, fmt.Errorf("chain %s %s has %d rules after loading %d", name, c.Name, len(c.Rules), len(original))
			}
			if result.Handles[name] == nil {
				result.Handles[name] = map[uint64]uint64{}
			}
			for i, r := range c.Rules {
				result.Handles[name][r.Handle] = original[i]
			}
			paired[name+" "+c.Name] = true
		}
	}
	for chain := range p.order {
		if !paired[chain] {
			return nil, fmt.Errorf("chain %s is not there after loading", chain)
		}
	}
	return &result, nil
}
