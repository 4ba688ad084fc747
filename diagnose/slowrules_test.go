package diagnose

import (
	"context"
	"errors"
	"testing"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

func TestChainsWithManyRulesAreNamedWhereTheyCost(t *testing.T) {
	chainOf := func(family, hook string, rules int) ruleset.Table {
		return ruleset.Table{Family: family, Name: "fw", Chains: []ruleset.Chain{{
			Name: "c", Base: &ruleset.Base{Hook: hook, Type: "filter", Policy: "accept"}, Rules: make([]ruleset.Rule, rules),
		}}}
	}
	const slow = "tcp took 9.2 times as long as unix; netfilter rules cost 40.1 µs of it"
	for name, c := range map[string]struct {
		symptom Symptom
		table   ruleset.Table
		err     error
		command string // of the remedy; empty where nothing is found
	}{
		"input":                  {Symptom{Check: "LAT-003", Message: slow}, chainOf("inet", "input", 150), nil, "nft insert rule inet fw c iifname lo accept"},
		"output":                 {Symptom{Check: "LAT-004", Message: slow}, chainOf("ip", "output", 100), nil, "nft insert rule ip fw c oifname lo accept"},
		"few rules":              {Symptom{Check: "LAT-003", Message: slow}, chainOf("inet", "input", 99), nil, ""},
		"rules of IPv6":          {Symptom{Check: "LAT-003", Message: slow}, chainOf("ip6", "input", 150), nil, ""},
		"rules that cost little": {Symptom{Check: "LAT-003", Message: "tcp took 9.2 times as long as unix"}, chainOf("inet", "input", 150), nil, ""},
		"another check":          {Symptom{Check: "TCP-001", Message: slow}, chainOf("inet", "input", 150), nil, ""},
		"not to be read":         {Symptom{Check: "LAT-003", Message: slow}, chainOf("inet", "input", 150), errors.New("refused"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := readRules
			defer func() { readRules = before }()
			readRules = func(context.Context) (*ruleset.Ruleset, error) {
				if c.err != nil {
					return nil, c.err
				}
				return &ruleset.Ruleset{Tables: []ruleset.Table{c.table}}, nil
			}
			d := slowRules(t.Context(), c.symptom)
			if c.command == "" {
				if len(d.Findings) > 0 {
					t.Errorf("found %+v", d.Findings)
				}
				return
			}
			if len(d.Findings) != 1 || len(d.Findings[0].Remedies) != 1 || d.Findings[0].Remedies[0].Command != c.command || len(d.Findings[0].Cause.Evidence) != 1 {
				t.Errorf("found %+v, want the remedy %q", d.Findings, c.command)
			}
		})
	}
}
