package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

const smallRules = `table inet filter {
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		tcp dport 22 accept
		udp dport 1000-1010 limit rate 5/second burst 3 packets accept
		ip saddr 10.0.0.0/8 tcp dport 443 accept
		tcp dport 22 accept
	}
}
`

const smallPolicy = `rules: small.nft
expect:
  - {from: outside, protocol: tcp, ports: 22, verdict: accept}
defaults:
  - {from: outside, verdict: drop}
`

func small(t *testing.T, policy string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"small.nft": smallRules, "policy.yaml": policy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "policy.yaml")
}

// A policy that is broken to begin with is not mutated.
func TestMutateBroken(t *testing.T) {
	p, rules := load(t, "broken.yaml")
	_, err := Mutate(t.Context(), p, rules, nil)
	if broken, ok := errors.AsType[*BrokenError](err); !ok || broken.Outcome.Name != "too wide" {
		t.Errorf("error %v", err)
	}
}

// What is suggested for each survivor kills it, and nothing that is called
// equivalent is told apart by any policy that the suggestions make.
func TestSuggestionsKill(t *testing.T) {
	policy := strings.Replace(smallPolicy, "defaults:\n  - {from: outside, verdict: drop}\n", "", 1)
	p, rules := load(t, small(t, policy))
	m, err := Mutate(t.Context(), p, rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	var suggestions []string
	for _, one := range m.Mutants {
		switch {
		case one.Fate == Survived && one.Suggestion == "" && one.Mutation != ruleset.ShiftLimit:
			t.Errorf("%s, %s: nothing is suggested: %s", one.Rule, one.Change, one.Why)
		case one.Suggestion != "":
			suggestions = append(suggestions, one.Suggestion)
		}
	}
	if len(suggestions) < 10 {
		t.Fatalf("%d suggestions of %d mutants", len(suggestions), len(m.Mutants))
	}
	before := m.Of(Killed)
	p, rules = load(t, small(t, policy+strings.Join(suggestions, "\n")+"\n"))
	again, err := Mutate(t.Context(), p, rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range again.Mutants {
		was := m.Mutants[i]
		if was.Suggestion != "" && one.Fate != Killed {
			t.Errorf("%s, %s: %s, although it was suggested:\n%s", one.Rule, one.Change, one.Fate, was.Suggestion)
		}
		if was.Fate == Equivalent && one.Fate != Equivalent {
			t.Errorf("%s, %s: was called equivalent, and is %s: %s", one.Rule, one.Change, one.Fate, one.Difference)
		}
	}
	if again.Of(Killed) <= before || again.Score <= m.Score {
		t.Errorf("%d killed of before %d, score %.2f", again.Of(Killed), before, again.Score)
	}
}

// What rules compare and packets do not differ in keeps a mutant from being
// called equivalent, and a rule from being called dead without saying so.
func TestNotEquivalent(t *testing.T) {
	var many []string
	for i := range 20 {
		many = append(many, "10.1."+strconv.Itoa(i)+".1")
	}
	for name, c := range map[string]struct{ rule, why string }{
		"interface": {`iifname "wg7" tcp dport 99 accept`, "no zone of the policy has the interface wg7"},
		"pattern":   {`iifname "veth*" tcp dport 99 accept`, "no zone of the policy has the interface veth*"},
		"field":     {`meta mark 7 tcp dport 99 accept`, "they do not differ in the mark"},
		"addresses": {`iifname "eth0" ip saddr { ` + strings.Join(many, ", ") + ` } tcp dport 22 accept`, "were not tried"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := strings.Replace(smallRules, "		tcp dport 22 accept\n	}", "		"+c.rule+"\n	}", 1)
			path := small(t, strings.Replace(smallPolicy, "defaults:\n  - {from: outside, verdict: drop}\n", "", 1))
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "small.nft"), []byte(rules), 0o644); err != nil {
				t.Fatal(err)
			}
			p, loaded := load(t, path)
			m, err := Mutate(t.Context(), p, loaded, nil)
			if err != nil {
				t.Fatal(err)
			}
			its := 0
			for _, one := range m.Mutants {
				if !strings.HasPrefix(one.Rule.Text, c.rule[:10]) {
					continue
				}
				its++
				if one.Fate == Equivalent {
					t.Errorf("%s is called equivalent", one.Change)
				}
			}
			if whys := mutantWhys(m); its == 0 || !strings.Contains(whys, c.why) {
				t.Errorf("%d mutants; none says %q:\n%s", its, c.why, whys)
			}
			cover, err := Cover(t.Context(), p, loaded)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range cover.Rules {
				if r.Use == Dead && !strings.Contains(r.Why, c.why) {
					t.Errorf("%s is dead: %s", r.Text, r.Why)
				}
			}
		})
	}
}

func mutantWhys(m *Mutations) string {
	var whys []string
	for _, one := range m.Mutants {
		whys = append(whys, one.Why)
	}
	return strings.Join(whys, "\n")
}
