package diagnose

import (
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

func (b blame) legacyFinding(rules *ruleset.Ruleset) Finding {
	change := "iptables-legacy"
	if b.Family == "ip6" {
		change = "ip6tables-legacy"
	}
	cause := Cause{
		ID:       b.id(),
		Summary:  fmt.Sprintf("A rule of %s %s what is sent over loopback, in chain %s of table %s.", change, b.does(), b.Chain, b.Table),
		Evidence: append([]string{"the rule: " + b.Legacy}, b.evidence()...),
	}
	remedy := Remedy{
		Command: fmt.Sprintf("%s -t %s -D %s", change, b.Table, strings.TrimPrefix(b.Legacy, "-A ")),
		Cause:   cause.ID,
		Note: fmt.Sprintf("the rule then holds for nobody any more; to keep it and let loopback pass before it: `%s -t %s -I %s %s lo -j ACCEPT`",
			change, b.Table, b.Chain, legacySide(b.Chain)),
	}
	if number := b.number(rules); number > 0 {
		// Of these matches the program compares what the kernel keeps for
		// itself, and so finds no rule like it.
		remedy.Command = fmt.Sprintf("%s -t %s -D %s %d", change, b.Table, b.Chain, number)
	}
	if strings.HasPrefix(b.Legacy, "-P ") {
		cause.Summary = fmt.Sprintf("The policy of chain %s in table %s of %s drops what is sent over loopback.", b.Chain, b.Table, change)
		remedy = Remedy{
			Command: fmt.Sprintf("%s -t %s -A %s %s lo -j ACCEPT", change, b.Table, b.Chain, legacySide(b.Chain)),
			Cause:   cause.ID,
		}
	}
	return Finding{Cause: cause, Remedies: []Remedy{remedy}}
}

// number is the rule's place in its chain, where it can be deleted by that
// alone; 0 where its text will do.
func (b blame) number(rules *ruleset.Ruleset) int {
	if !strings.Contains(b.Legacy, "-m connlimit ") && !strings.Contains(b.Legacy, "-m recent ") {
		return 0
	}
	save := rules.Legacy4.Save
	if b.Family == "ip6" {
		save = rules.Legacy6.Save
	}
	_, table, _ := strings.Cut(save, "*"+b.Table+"\n")
	table, _, _ = strings.Cut(table, "\nCOMMIT")
	number := 0
	for line := range strings.Lines(table) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-A "+b.Chain+" ") {
			number++
		}
		if line == b.Legacy {
			return number
		}
	}
	return 0
}

// legacySide is the option by which a rule tells loopback in a built-in chain.
func legacySide(chain string) string {
	if chain == "OUTPUT" || chain == "POSTROUTING" {
		return "-o"
	}
	return "-i"
}
