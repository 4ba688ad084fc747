package containers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

var (
	// nftGuard and savedGuard match a rule that names 127.0.0.0/8 as the destination,
	// and not as what the destination is not.
	nftGuard   = regexp.MustCompile(`\bip daddr 127\.0\.0\.0/8 .*\b(drop|reject)\b`)
	savedGuard = regexp.MustCompile(`[^!] -d 127\.0\.0\.0/8 .*-j (DROP|REJECT)\b`)
	nftComment = regexp.MustCompile(`comment "[^"]*"`)
	nftJump    = regexp.MustCompile(`\b(?:jump|goto) (\S+)`)
	savedJump  = regexp.MustCompile(` -[jg] (\S+)`)
)

// guardOf is a rule that drops what comes to 127.0.0.0/8, on the way of packets
// that come in, or a policy that drops whatever no rule lets in; "" where there is
// neither.
func guardOf(rules *ruleset.Ruleset) string {
	for _, t := range rules.Tables {
		if t.Dormant || t.Family != "ip" && t.Family != "inet" {
			continue
		}
		w := way{chains: map[string][]string{}, jump: nftJump, guard: nftGuard}
		for _, c := range t.Chains {
			if c.Base != nil && (c.Base.Hook == "input" || c.Base.Hook == "prerouting") {
				w.entered = append(w.entered, c.Name)
			}
			if c.Base != nil && c.Base.Hook == "input" && c.Base.Policy == "drop" {
				return fmt.Sprintf("the policy drop of the chain %s %s %s", t.Family, t.Name, c.Name)
			}
			for _, rule := range c.Rules {
				w.chains[c.Name] = append(w.chains[c.Name], nftComment.ReplaceAllString(rule.Text, ""))
			}
		}
		if found := w.find(); found != "" {
			return found
		}
	}
	return savedGuardOf(rules.Legacy4.Save)
}

// savedGuardOf is guardOf for what iptables-legacy-save wrote.
func savedGuardOf(text string) string {
	for table := range strings.SplitSeq(text, "\nCOMMIT") {
		w := way{chains: map[string][]string{}, entered: []string{"PREROUTING", "INPUT"}, jump: savedJump, guard: savedGuard}
		for line := range strings.Lines(table) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, ":INPUT DROP") {
				return "the policy DROP of the chain INPUT of iptables-legacy"
			}
			if rest, appended := strings.CutPrefix(line, "-A "); appended {
				chain, _, _ := strings.Cut(rest, " ")
				w.chains[chain] = append(w.chains[chain], line)
			}
		}
		if found := w.find(); found != "" {
			return found
		}
	}
	return ""
}

// way is a table's chains, and which of them packets that come in enter first.
type way struct {
	chains      map[string][]string
	entered     []string
	jump, guard *regexp.Regexp
}

// find returns the first rule of a guard in what is entered, or jumped to from there.
func (w way) find() string {
	for i := 0; i < len(w.entered); i++ {
		for _, rule := range w.chains[w.entered[i]] {
			if w.guard.MatchString(rule) {
				return strings.TrimSpace(rule)
			}
			if to := w.jump.FindStringSubmatch(rule); to != nil && !slices.Contains(w.entered, to[1]) {
				w.entered = append(w.entered, to[1])
			}
		}
	}
	return ""
}
