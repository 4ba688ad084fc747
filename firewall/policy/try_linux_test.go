package policy

import (
	"os"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

func TestTry(t *testing.T) {
	p, err := ReadFile(cmpOr(os.Getenv("POLICY"), "/tmp/rules/p.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(p.Rules[0])
	rules, err := firewall.LoadRules(t.Context(), ruleset.File{Name: p.Rules[0], Text: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r, err := Check(t.Context(), p, rules)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
	for _, o := range r.Outcomes {
		t.Log(o.Line, o.Name, o.Expected, o.Asked, o.Skipped)
		for _, b := range o.Breaches {
			t.Log("    ", b.Packet(), b.Verdict(), b.Rule)
		}
	}
	t.Log(r.Notes)

	start = time.Now()
	c, err := Cover(t.Context(), p, rules)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("cover", time.Since(start))
	for _, r := range c.Rules {
		t.Log(r.Rule, r.Use, r.By, r.Shadows, r.Why, "\n", r.Suggestion)
	}
	start = time.Now()
	m, err := Mutate(t.Context(), p, rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("mutate", time.Since(start), len(m.Mutants), m.Score, m.Of(Killed), m.Of(Survived), m.Of(Equivalent), m.Of(Refused))
	for _, one := range m.Mutants {
		t.Log(one.Fate, one.Mutation, one.Rule, one.Change, one.KilledBy, one.Difference, one.Why, "\n", one.Suggestion)
	}
}
func cmpOr(a, b string) string { if a != "" { return a }; return b }
