package diagnose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

// manyRules are as many as can be seen in a round trip: each takes some 20 ns of
// every packet that passes it.
const manyRules = 100

// slowChecks are those whose message says what rules cost where that was measured.
var slowChecks = []string{"LAT-003", "LAT-004"}

// readRules is a variable so that tests can show machines that this one is not.
var readRules = ruleset.Read

// slowRules finds the chains with many rules that packets over lo pass one after
// the other, where a check measured that the rules cost time.
func slowRules(ctx context.Context, s Symptom) Diagnosis {
	if !slices.Contains(slowChecks, s.Check) || !strings.Contains(s.Message, "rules cost") {
		return Diagnosis{}
	}
	rules, err := readRules(ctx)
	if err != nil {
		return Diagnosis{} // netfilter has told
	}
	var d Diagnosis
	for _, h := range rules.Loopback() {
		if h.Rules >= manyRules && h.Family != "ip6" {
			d.Findings = append(d.Findings, slowChain(h))
		}
	}
	return d
}

func slowChain(h ruleset.Hook) Finding {
	where := fmt.Sprintf("%s %s, chain %s", h.Family, quoted(h.Table), quoted(h.Chain))
	f := Finding{Cause: Cause{
		ID:       strings.Join([]string{"slow-rules", h.Family, h.Table, h.Chain}, "-"),
		Summary:  fmt.Sprintf("Every packet over loopback is held against %d rules one after the other: %s.", h.Rules, where),
		Evidence: []string{fmt.Sprintf("%s at hook %s has %d rules", where, h.Hook, h.Rules)},
	}}
	if h.Legacy {
		return f
	}
	direction := "iifname"
	if h.Hook == "output" || h.Hook == "postrouting" || h.Hook == "egress" {
		direction = "oifname"
	}
	f.Remedies = []Remedy{{
		Command: fmt.Sprintf("nft insert rule %s %s %s %s lo accept", h.Family, quoted(h.Table), quoted(h.Chain), direction),
		Cause:   f.Cause.ID,
		Note:    "all of loopback passes then; where that is not wanted, put the ports and addresses of the rules into sets or maps",
	}}
	return f
}
