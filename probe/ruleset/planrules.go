package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// addRules loads the chains that are parts of rules before the rules that they
// are parts of: they are closed by being used.
func (p *plan) addRules(family uint8, t Table, left *leftOut) error {
	byName := map[string]Chain{}
	for _, c := range t.Chains {
		byName[c.Name] = c
	}
	done := map[string]bool{}
	var load func(Chain) error
	load = func(c Chain) error {
		if done[c.Name] || left.chains[c.Name] {
			return nil
		}
		done[c.Name] = true
		for _, r := range c.Rules {
			for _, name := range r.refersTo().chains {
				if inner := byName[name]; inner.Bound && !left.rules[r.Handle] {
					if err := load(inner); err != nil {
						return err
					}
				}
			}
		}
		return p.addRulesOf(family, t, c, left)
	}
	for _, c := range t.Chains {
		if c.Bound {
			continue
		}
		if err := load(c); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) addRulesOf(family uint8, t Table, c Chain, left *leftOut) error {
	chain := t.Family + " " + t.Name + " " + c.Name
	for _, r := range c.Rules {
		if left.rules[r.Handle] {
			continue
		}
		a, err := nfnl.Parse(r.Attributes)
		if err != nil {
			return err
		}
		list := expressions(a)
		if protocol, inverted, needed := compat(list, family); needed {
			b, err := compatAttribute(protocol, inverted)
			if err != nil {
				return err
			}
			a = append(a.Without(ruleCompat), netlink.Attribute{Type: ruleCompat | netlink.Nested, Data: b})
		}
		if a, err = p.translateIndexes(a, t, c, r); err != nil {
			return err
		}
		a = a.Without(ruleHandle, rulePosition, rulePad)
		about := Refusal{Kind: "rule", Name: c.Name, Handle: r.Handle}
		if err := p.add(nfnl.NewRule, family, netlink.Append, a, about, t); err != nil {
			return err
		}
		p.order[chain] = append(p.order[chain], r.Handle)
	}
	return nil
}

// noIndex is one that no interface has: they are counted from 1 and are
// positive.
const noIndex = 1<<31 - 1

// translateIndexes gives comparisons of an interface's index the index that the
// interface of that name has in the other namespace, or one that none has.
func (p *plan) translateIndexes(rule nfnl.Attributes, t Table, c Chain, r Rule) (nfnl.Attributes, error) {
	elements := rule.Nested(ruleExpressions)
	loaded := map[uint32]bool{}
	changed := false
	for i, element := range elements {
		e, err := nfnl.Parse(element.Data)
		if err != nil {
			return nil, err
		}
		data := e.Nested(expressionData)
		switch e.Text(expressionName) {
		case "meta":
			key := data.Uint32(metaKey)
			loaded[data.Uint32(metaRegister)] = key == keyIn || key == keyOut || key == keyRealIn
		case "cmp":
			if !loaded[data.Uint32(cmpRegister)] {
				continue
			}
			value, _ := data.Nested(cmpData).Find(dataValue)
			index, ok := nativeUint32(value)
			if !ok {
				continue
			}
			other := p.otherIndex(index, t, c, r)
			if other == index {
				continue
			}
			encoded, err := withIndex(e, data, other)
			if err != nil {
				return nil, err
			}
			elements[i].Data, elements[i].Length = encoded, 0
			changed = true
		}
	}
	if !changed {
		return rule, nil
	}
	list, err := elements.Encode()
	if err != nil {
		return nil, err
	}
	return rule.With(ruleExpressions, list), nil
}

func withIndex(e, data nfnl.Attributes, index uint32) ([]byte, error) {
	value, err := data.Nested(cmpData).With(dataValue, binary.NativeEndian.AppendUint32(nil, index)).Encode()
	if err != nil {
		return nil, err
	}
	inner, err := data.With(cmpData, value).Encode()
	if err != nil {
		return nil, err
	}
	return e.With(expressionData, inner).Encode()
}

func (p *plan) otherIndex(index uint32, t Table, c Chain, r Rule) uint32 {
	for name, i := range p.source.Interfaces {
		if i != index {
			continue
		}
		if other, found := p.interfaces[name]; found {
			return other
		}
		p.change("rule", t, c.Name, r.Handle, fmt.Sprintf("compares with the interface %s, which is not here", name))
		return noIndex
	}
	// An interface that is gone: no packet comes through it there either.
	if len(p.source.Interfaces) > 0 {
		return noIndex
	}
	return index
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
