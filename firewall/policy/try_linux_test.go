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
	p, err := ReadFile("/tmp/rules/p.yaml")
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
}
