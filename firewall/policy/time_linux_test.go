package policy

import (
	"os"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

func TestTime(t *testing.T) {
	p, err := ReadFile("/tmp/rules/p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(p.Rules[0])
	rules, err := firewall.LoadRules(t.Context(), ruleset.File{Name: p.Rules[0], Text: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), p, rules)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	start := time.Now()
	lap := func(what string) { t.Log(what, time.Since(start)); start = time.Now() }
	for range 2 {
		if err := s.Load(t.Context(), rules.Ruleset); err != nil {
			t.Fatal(err)
		}
		lap("load")
		c := s.fewer()
		var sweeps []sweep.Sweep
		n := 0
		for _, q := range c.questions {
			if q.nth == 0 {
				sweeps = append(sweeps, q.sweep)
				for _, r := range q.sweep.Ports {
					n += r.Len()
				}
			}
		}
		lap("questions")
		if _, err := s.Ask(t.Context(), sweeps); err != nil {
			t.Fatal(err)
		}
		t.Log(n)
		lap("ask all")
		if _, err := s.Ask(t.Context(), sweeps[:1]); err != nil {
			t.Fatal(err)
		}
		lap("ask one")
		sp := s.space()
		lap("space")
		if _, err := s.Ask(t.Context(), sp); err != nil {
			t.Fatal(err)
		}
		t.Log(len(sp))
		lap("ask space")
	}
}
