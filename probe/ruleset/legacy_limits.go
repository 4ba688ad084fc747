package ruleset

import (
	"slices"
	"strings"
)

// TargetChange is what a target of iptables does to packets, beside deciding
// about them; "" where it changes none.
func TargetChange(target string) Change {
	return expression{name: target}.change()
}

// LegacyOrigin returns the rule that one of an exceeded ruleset was made of, or
// the rule itself. Both are as iptables-legacy-save writes them, without
// counters; the family is "ip" or "ip6".
func (r *Ruleset) LegacyOrigin(family, table, rule string) string {
	if origin, made := r.legacyOrigins[legacyRule{family, table, rule}]; made {
		return origin
	}
	return rule
}

// legacyRule names a rule of iptables-legacy.
type legacyRule struct{ family, table, rule string }

// exceededLegacy is what iptables-legacy-save wrote with each limit reached: its
// rules without the matches that limit them, and those that would accept not at
// all.
func (r *Ruleset) exceededLegacy(family string, l Legacy) (exceeded Legacy, differs bool) {
	var lines []string
	table := ""
	for line := range strings.Lines(l.Save) {
		line = strings.TrimSpace(line)
		if name, isTable := strings.CutPrefix(line, "*"); isTable {
			table = name
		}
		changed, limited := withoutLimits(line)
		switch {
		case !limited:
			lines = append(lines, line)
			continue
		case !strings.Contains(changed, " -j ACCEPT"):
			lines = append(lines, changed)
			r.legacyOrigins[legacyRule{family, table, changed}] = line
		}
		differs = true
	}
	l.Save = strings.Join(lines, "\n") + "\n"
	return l, differs
}

// withoutLimits takes the matches that limit a rule out of it. A match's options
// stand between its name and the next match or the target, with or without a
// "!" before them.
func withoutLimits(rule string) (changed string, limited bool) {
	if !strings.HasPrefix(rule, "-A ") {
		return rule, false
	}
	var kept []string
	words, skipping := strings.Fields(rule), false
	for i, word := range words {
		if word == "-m" && i+1 < len(words) {
			skipping = slices.Contains(limitMatches, words[i+1])
			limited = limited || skipping
		}
		if word == "-j" || word == "-g" {
			skipping = false
		}
		if !skipping {
			kept = append(kept, word)
		}
	}
	if !limited {
		return rule, false
	}
	return strings.Join(kept, " "), true
}
