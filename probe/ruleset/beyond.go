package ruleset

import (
	"encoding/binary"
	"slices"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Only is the ruleset with no other rules than some, and the sets that these look
// up.
func (r *Ruleset) Only(ids ...RuleID) *Ruleset {
	return r.only(func(t Table, _ Chain, i int, rule Rule) bool {
		return slices.Contains(ids, RuleID{t.Family, t.Name, rule.Handle})
	})
}

// About is the ruleset with no other rules than those that a mutant of it is
// about: the one that is changed, and the one that it is swapped with, or those
// that look a changed set up; none for a policy.
func (r *Ruleset) About(m Mutant) *Ruleset {
	return r.only(func(t Table, c Chain, i int, rule Rule) bool {
		switch {
		case t.Family != m.Family || t.Name != m.Table || m.Mutation == FlipPolicy:
			return false
		case m.Handle == 0:
			b, ok := bodyOf(rule)
			return ok && slices.ContainsFunc(b, func(e expression) bool { return e.name == "lookup" && e.data.Text(lookupSet) == m.Chain })
		case rule.Handle == m.Handle:
			return true
		}
		return m.Mutation == SwapRules && i+1 < len(c.Rules) && c.Rules[i+1].Handle == m.Handle
	})
}

// Following is the ruleset with no other rules than those that packets may come to
// from where a mutant is other: in its chain from its rule on, or from those that
// look a changed set up, and in the chains that these lead to.
func (r *Ruleset) Following(m Mutant) *Ruleset {
	about := map[RuleID]bool{}
	for t, rule := range r.About(m).All() {
		about[RuleID{t.Family, t.Name, rule.Handle}] = true
	}
	whole := map[chainKey]bool{}
	if m.Mutation == FlipPolicy {
		whole[chainKey{m.Family, m.Table, m.Chain}] = true
	}
	// What a chain leads to is whole; that of a rule begins with it.
	for grown := true; grown; {
		grown = false
		for _, t := range r.Tables {
			for _, c := range t.Chains {
				begun := whole[chainKey{t.Family, t.Name, c.Name}]
				for _, rule := range c.Rules {
					begun = begun || about[RuleID{t.Family, t.Name, rule.Handle}]
					if !begun {
						continue
					}
					for _, led := range t.ledTo(rule) {
						if key := (chainKey{t.Family, t.Name, led}); !whole[key] {
							whole[key], grown = true, true
						}
					}
				}
			}
		}
	}
	begun, in := false, chainKey{}
	return r.only(func(t Table, c Chain, i int, rule Rule) bool {
		key := chainKey{t.Family, t.Name, c.Name}
		if key != in || i == 0 {
			in, begun = key, whole[key]
		}
		begun = begun || about[RuleID{t.Family, t.Name, rule.Handle}]
		return begun
	})
}

// ledTo are the chains that a rule, or a map that it looks up, leads to.
func (t Table) ledTo(rule Rule) []string {
	refers := rule.refersTo()
	chains := refers.chains
	for _, s := range t.Sets {
		if !slices.Contains(refers.sets, s.Name) {
			continue
		}
		for _, element := range s.Elements {
			e, err := nfnl.Parse(element)
			if err != nil {
				continue
			}
			if chain := e.Nested(elementData).Nested(dataVerdict).Text(verdictChain); chain != "" {
				chains = append(chains, chain)
			}
		}
	}
	return chains
}

func (r *Ruleset) only(keep func(t Table, c Chain, i int, rule Rule) bool) *Ruleset {
	some := *r
	some.Tables = slices.Clone(r.Tables)
	for i, t := range some.Tables {
		t.Chains = slices.Clone(t.Chains)
		used := map[string]bool{}
		for j, c := range t.Chains {
			var kept []Rule
			for k, rule := range c.Rules {
				if keep(t, c, k, rule) {
					kept = append(kept, rule)
				}
			}
			t.Chains[j].Rules = kept
			for _, rule := range kept {
				for _, set := range rule.refersTo().sets {
					used[set] = true
				}
			}
		}
		t.Sets = slices.DeleteFunc(slices.Clone(t.Sets), func(s Set) bool { return !used[s.Name] })
		some.Tables[i] = t
	}
	return &some
}

// Beyond is what the rules go by besides addresses, ports, protocols, types of
// ICMP, states of connections, interfaces and how many packets came before: by
// name, in order.
func (r *Ruleset) Beyond() []string {
	var names []string
	for _, rule := range r.All() {
		if b, ok := bodyOf(rule); ok {
			names = append(names, b.beyond()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (b body) beyond() []string {
	var names []string
	looksUp := slices.ContainsFunc(b, func(e expression) bool { return e.name == "lookup" })
	for _, m := range b.matches() {
		// Of a concatenation only the first value has the lookup in its register.
		if !m.varied && (len(m.ends) > 0 || looksUp) {
			names = append(names, m.name)
		}
	}
	for _, e := range b {
		if e.writesPacket() {
			names = append(names, "what it writes into packets")
		}
		if e.name == "match" {
			if name, beyond := e.beyond(); beyond {
				names = append(names, name)
			}
		}
	}
	return names
}

// writesPacket says that an expression changes a mark or a header, by which others
// may go.
func (e expression) writesPacket() bool {
	source, marks := map[string]uint16{"meta": metaSource, "ct": ctSource, "payload": payloadSource, "exthdr": exthdrSource}[e.name]
	if !marks {
		return false
	}
	_, writes := e.data.Find(source)
	return writes && (e.name != "meta" || e.data.Uint32(metaKey) != keyTrace)
}

// beyond is what an extension of iptables goes by.
func (e expression) beyond() (name string, beyond bool) {
	name = e.data.Text(extensionName)
	switch name {
	case "udp", "multiport", "conntrack", "state", "icmp", "icmp6", "comment", "limit", "hashlimit", "connlimit", "quota", "recent", "statistic":
		return "", false
	case "tcp":
		// struct xt_tcp: two ranges of ports, an option, and which flags.
		info, _ := e.data.Find(extensionInfo)
		const option, flags = 8, 9
		return "the TCP flags", len(info) > flags && binary.BigEndian.Uint16(info[option:]) != 0
	}
	return name, true
}
