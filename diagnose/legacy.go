package diagnose

import (
	"fmt"
	"strings"
)

func (b blame) legacyFinding() Finding {
	change := "iptables-legacy"
	if b.Family == "ip6" {
		change = "ip6tables-legacy"
	}
	cause := Cause{
		ID:       b.id(),
		Summary:  fmt.Sprintf("A rule of %s drops what is sent over loopback, in chain %s of table %s.", change, b.Chain, b.Table),
		Evidence: append([]string{"the rule: " + b.Legacy}, b.evidence()...),
	}
	remedy := Remedy{
		Command: fmt.Sprintf("%s -t %s -D %s", change, b.Table, strings.TrimPrefix(b.Legacy, "-A ")),
		Cause:   cause.ID,
		Note: fmt.Sprintf("the rule then holds for nobody any more; to keep it and let loopback pass before it: `%s -t %s -I %s %s lo -j ACCEPT`",
			change, b.Table, b.Chain, legacySide(b.Chain)),
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

// legacySide is the option by which a rule tells loopback in a built-in chain.
func legacySide(chain string) string {
	if chain == "OUTPUT" || chain == "POSTROUTING" {
		return "-o"
	}
	return "-i"
}
