package policy

import (
	"strconv"
	"strings"
	"testing"
)

func check(t *testing.T, name string) *Result {
	t.Helper()
	p, rules := load(t, name)
	r, err := Check(t.Context(), p, rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The policies that are fulfilled are asked in full.
func TestPoliciesHold(t *testing.T) {
	for name, asked := range map[string]int{"server.yaml": 500000, "nat.yaml": 130000} {
		t.Run(name, func(t *testing.T) {
			r := check(t, name)
			all := 0
			for _, o := range r.Outcomes {
				all += o.Asked
				for _, b := range o.Breaches {
					t.Errorf("%s: %s: %s by %v", o.Name, b.Packet(), b.Verdict(), b.Rule)
				}
				if o.Asked == 0 && o.Skipped == "" {
					t.Errorf("%s: nothing was asked", o.Name)
				}
			}
			if all < asked && len(r.Notes) == 0 {
				t.Errorf("%d packets were asked about", all)
			}
		})
	}
}

// Each broken expectation says which packets, what became of them, and by which
// rule.
func TestBrokenPolicy(t *testing.T) {
	r := check(t, "broken.yaml")
	want := map[string][]string{
		"too wide":                             {"port 79: drop by inet filter input: policy drop", "port 81: drop by inet filter input: policy drop"},
		"another kind":                         {"port 113: reject with tcp-reset by testdata/server.nft:11: tcp dport 113 reject with tcp reset"},
		"counted":                              {"port 53, packet 6 within a second: drop by inet filter input: policy drop"},
		"elsewhere":                            {"port 80: accept by testdata/server.nft:7: tcp dport { 22, 80, 443 } accept"},
		"everything else from outside: reject": {"port 1-21: drop by inet filter input: policy drop"},
	}
	for _, o := range r.Outcomes {
		var got []string
		for _, b := range o.Breaches {
			_, packet, _ := strings.Cut(b.Packet(), ", ")
			got = append(got, packet+": "+b.Verdict()+" by "+b.Rule.String())
		}
		for _, line := range want[o.Name] {
			if !strings.Contains(strings.Join(got, "\n"), line) {
				t.Errorf("%s: %q is not among\n%s", o.Name, line, strings.Join(got, "\n"))
			}
		}
		if (len(want[o.Name]) > 0) != (len(got) > 0) {
			t.Errorf("%s: %q", o.Name, got)
		}
	}
	if r.Broken() != len(want) {
		t.Errorf("%d are broken, not %d", r.Broken(), len(want))
	}
}

// Each rule's comment says how it is met, and by which line it is shadowed.
func TestCover(t *testing.T) {
	p, rules := load(t, "shadows.yaml")
	c, err := Cover(t.Context(), p, rules)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, r := range c.Rules {
		_, comment, said := strings.Cut(r.Text, "comment \"")
		if !said {
			continue
		}
		seen++
		use, by, _ := strings.Cut(strings.TrimSuffix(comment, "\""), " ")
		if string(r.Use) != use {
			t.Errorf("%s: %s", r.Rule, r.Use)
		}
		switch r.Use {
		case Met:
			if len(r.By) == 0 {
				t.Errorf("%s: by nothing", r.Rule)
			}
		case Shadowed:
			last := r.Shadows[len(r.Shadows)-1]
			if strconv.Itoa(last.Line) != by {
				t.Errorf("%s: shadowed by %v", r.Rule, r.Shadows)
			}
		case Dead:
			if r.Why == "" {
				t.Errorf("%s: dead without a reason", r.Rule)
			}
		case Untested:
			// What is suggested is an expectation that holds and meets the rule.
			if !strings.Contains(r.Suggestion, "verdict: accept") {
				t.Errorf("%s: suggested %s", r.Rule, r.Suggestion)
			}
		}
	}
	if seen != 8 {
		t.Errorf("%d rules", seen)
	}
	for _, r := range c.Rules {
		if r.Chain == "forgotten" && r.Why != "nothing leads to its chain" {
			t.Errorf("%s: %s", r.Rule, r.Why)
		}
	}
}
