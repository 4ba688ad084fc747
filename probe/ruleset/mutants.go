package ruleset

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Mutation is the kind of a mutant.
type Mutation string

const (
	DeleteRule     Mutation = "rule deleted"
	SwapRules      Mutation = "rules swapped"
	FlipVerdict    Mutation = "verdict flipped"
	ShiftPort      Mutation = "port moved by one"
	ShiftAddress   Mutation = "address moved by one"
	DropMatch      Mutation = "match dropped"
	ChangeProtocol Mutation = "protocol changed"
	ChangeState    Mutation = "state changed"
	FlipPolicy     Mutation = "policy flipped"
	ShiftLimit     Mutation = "limit moved by one"
)

// Mutant is a ruleset with one small mistake in it, as a person makes when
// editing rules.
type Mutant struct {
	Mutation Mutation
	// Family, Table and Chain are where it is.
	Family, Table, Chain string
	// Handle is that of the rule; 0 for a chain's policy, and for a set that
	// several rules may use.
	Handle uint64
	// Change says what was changed, such as "port 22 becomes 22-23".
	Change string

	source *Ruleset
	// table is the place of the one that is edited.
	table int
	edit  func(Table) Table
}

// Ruleset is the whole of it, made anew by each call: of many mutants only those
// that are in use take up memory.
func (m Mutant) Ruleset() *Ruleset {
	whole := *m.source
	whole.Tables = slices.Clone(m.source.Tables)
	whole.Tables[m.table] = m.edit(whole.Tables[m.table])
	return &whole
}

// Mutants are rulesets with one mistake each, in the order of the rules: a rule
// deleted, swapped with the one before it, with its verdict or its protocol
// changed, a port or an address moved by one, a match or a state dropped or
// added, a limit that is off by one, a policy that is the other. The notes say of
// which sets only some elements are mutated. The ruleset must not change while
// the mutants are in use.
func (r *Ruleset) Mutants() (mutants []Mutant, notes []string) {
	m := &mutator{source: r}
	for i, t := range r.Tables {
		if t.Dormant || t.Family == "arp" || t.Family == "bridge" {
			continue
		}
		m.table, m.t = i, t
		for j, c := range t.Chains {
			m.chain, m.c = j, c
			m.policy()
			for k := range c.Rules {
				m.rule = k
				m.rules()
			}
		}
		m.sets()
	}
	return m.mutants, m.notes
}

type mutator struct {
	source             *Ruleset
	t                  Table
	c                  Chain
	table, chain, rule int
	mutants            []Mutant
	notes              []string
}

// add notes a mutant whose table is edited.
func (m *mutator) add(kind Mutation, chain string, handle uint64, edit func(Table) Table, format string, args ...any) {
	m.mutants = append(m.mutants, Mutant{
		Mutation: kind, Family: m.t.Family, Table: m.t.Name, Chain: chain, Handle: handle, Change: fmt.Sprintf(format, args...),
		source: m.source, table: m.table, edit: edit,
	})
}

// inChain edits the current chain of a table.
func (m *mutator) inChain(edit func(Chain) Chain) func(Table) Table {
	at := m.chain
	return func(t Table) Table {
		t.Chains = slices.Clone(t.Chains)
		t.Chains[at] = edit(t.Chains[at])
		return t
	}
}

// inRules edits a copy of the rules of the current chain.
func (m *mutator) inRules(edit func([]Rule) []Rule) func(Table) Table {
	return m.inChain(func(c Chain) Chain {
		c.Rules = edit(slices.Clone(c.Rules))
		return c
	})
}

func (m *mutator) policy() {
	if m.c.Base == nil || m.c.Base.Type == "nat" {
		return
	}
	a, err := nfnl.Parse(m.c.Attributes)
	if err != nil {
		return
	}
	c, base := m.c, *m.c.Base
	was := base.Policy
	base.Policy = map[string]string{"accept": "drop", "drop": "accept"}[was]
	code := uint32(acceptCode)
	if base.Policy == "drop" {
		code = dropCode
	}
	if c.Attributes, err = a.WithUint32(chainPolicy, code).Encode(); err != nil {
		return
	}
	c.Base = &base
	m.add(FlipPolicy, m.c.Name, 0, m.inChain(func(Chain) Chain { return c }), "policy %s becomes %s", was, base.Policy)
}

// rules makes the mutants of the current rule.
func (m *mutator) rules() {
	rule, at := m.c.Rules[m.rule], m.rule
	if !m.c.Bound || len(m.c.Rules) > 1 {
		m.add(DeleteRule, m.c.Name, rule.Handle, m.inRules(func(rules []Rule) []Rule { return slices.Delete(rules, at, at+1) }), "deleted")
	}
	if at > 0 && !bytes.Equal(m.c.Rules[at-1].Attributes, rule.Attributes) {
		swapped := m.inRules(func(rules []Rule) []Rule {
			rules[at-1], rules[at] = rules[at], rules[at-1]
			return rules
		})
		m.add(SwapRules, m.c.Name, rule.Handle, swapped, "stands before the rule that it followed")
	}
	b, ok := bodyOf(rule)
	if !ok {
		return
	}
	for _, other := range b.alterations() {
		mutated, ok := other.body.rule(rule)
		if !ok {
			continue
		}
		attributes := mutated.Attributes
		altered := m.inRules(func(rules []Rule) []Rule {
			rules[at].Attributes = attributes
			return rules
		})
		m.add(other.kind, m.c.Name, rule.Handle, altered, "%s", other.text)
	}
}

// body is a rule's expressions, to be changed.
type body []expression

func bodyOf(r Rule) (body, bool) {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return nil, false
	}
	list := expressions(a)
	return list, len(list) == len(a.Nested(ruleExpressions))
}

// rule is the one that was, with these expressions.
func (b body) rule(r Rule) (Rule, bool) {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return r, false
	}
	var list nfnl.Attributes
	for _, e := range b {
		encoded, err := e.encode()
		if err != nil {
			return r, false
		}
		list = append(list, netlink.Attribute{Type: listElement | netlink.Nested, Data: encoded})
	}
	encoded, err := list.Encode()
	if err != nil {
		return r, false
	}
	r.Attributes, err = a.With(ruleExpressions, encoded).Encode()
	return r, err == nil
}

func (e expression) encode() ([]byte, error) {
	data, err := e.data.Encode()
	if err != nil {
		return nil, err
	}
	return nfnl.Attributes{
		{Type: expressionName, Data: append([]byte(e.name), 0)},
		{Type: expressionData | netlink.Nested, Data: data},
	}.Encode()
}

// alteration is another body, and what is other in it.
type alteration struct {
	kind Mutation
	text string
	body body
}

// with is the body with other expressions in the place of some.
func (b body) with(from, to int, instead ...expression) body {
	return slices.Concat(b[:from], instead, b[to:])
}
