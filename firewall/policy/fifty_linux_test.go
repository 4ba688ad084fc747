package policy

import (
	"os"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
)

func TestFifty(t *testing.T) {
	p, err := ReadFile("/tmp/rules/fifty.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(p.Rules[0])
	rules, err := firewall.LoadRules(t.Context(), ruleset.File{Name: p.Rules[0], Text: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	m, err := Mutate(t.Context(), p, rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("mutate", time.Since(start), len(m.Mutants), m.Score, m.Of(Killed), m.Of(Survived), m.Of(Equivalent), m.Of(Refused))
	for _, one := range m.Mutants {
		if one.Fate != Killed {
			t.Log(one.Fate, one.Mutation, one.Rule, one.Change, one.Difference, one.Why)
		}
	}
}
