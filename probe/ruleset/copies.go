package ruleset

import (
	"regexp"
	"slices"
	"strings"
)

// legacyCopy is the target of iptables that sends a copy, with its options.
var legacyCopy = regexp.MustCompile(` -j TEE(?: --(?:gateway|oif) \S+)*`)

// WithoutCopies is the ruleset in which no rule sends a copy of a packet, and the
// rules that did: whoever watches a packet would take its copy for the packet
// itself. What else such a rule does it still does.
func (r *Ruleset) WithoutCopies() (without *Ruleset, copying []Rule) {
	whole := *r
	whole.Tables = slices.Clone(r.Tables)
	for i, t := range whole.Tables {
		chains := slices.Clone(t.Chains)
		for j, c := range chains {
			rules := slices.Clone(c.Rules)
			for k, rule := range rules {
				if changed, copies := rule.withoutCopies(); copies {
					rules[k] = changed
					copying = append(copying, rule)
				}
			}
			chains[j].Rules = rules
		}
		whole.Tables[i].Chains = chains
	}
	for _, l := range []*Legacy{&whole.Legacy4, &whole.Legacy6} {
		var copies []Rule
		*l, copies = l.withoutCopies()
		copying = append(copying, copies...)
	}
	return &whole, copying
}

func (r Rule) withoutCopies() (changed Rule, copies bool) {
	b, ok := bodyOf(r)
	if !ok {
		return r, false
	}
	kept := slices.DeleteFunc(slices.Clone(b), func(e expression) bool { return e.change() == Duplicates })
	if len(kept) == len(b) {
		return r, false
	}
	return kept.rule(r)
}

func (l Legacy) withoutCopies() (without Legacy, copying []Rule) {
	var save strings.Builder
	for line := range strings.Lines(l.Save) {
		if changed := legacyCopy.ReplaceAllString(line, ""); changed != line && strings.HasPrefix(line, "-A ") {
			copying = append(copying, Rule{Text: strings.TrimSpace(line)})
			line = changed
		}
		save.WriteString(line)
	}
	l.Save = save.String()
	return l, copying
}
