package ruleset

import (
	"strings"
	"testing"
)

const mutable = `table inet t {
	set web { type inet_service; elements = { 80, 443 }; }
	set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 }; }
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		ct state vmap { established : accept, invalid : drop }
		tcp dport 22 ip saddr 10.0.0.0/24 accept
		tcp dport { 25, 100-200 } ip saddr 10.0.0.0/17 accept
		tcp dport @web ip saddr @nets accept
		udp dport 1000-2000 reject
		udp dport 53 limit rate 5/second burst 7 packets accept
		ip6 saddr fd00::/8 tcp dport 9 drop
		ip saddr 10.9.8.7 jump more
		iifname "eth0" tcp sport >= 1024 accept
		tcp sport 1010 tcp dport 2010 accept
		tcp dport 7 jump {
			ip saddr 10.0.0.1 drop
			ip saddr 10.0.0.2 accept
		}
	}
	chain more {
		meta l4proto icmp counter accept
	}
}
`

// Every mutant is a ruleset that the kernel takes, differs from the original,
// and no two are alike.
func TestMutants(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", mutable)
	r := read(t, s, "original")
	list := func(zone string) string { return sh(t, s, zone, "nft -s list ruleset") }
	original := list("original")
	seen := map[string]string{}
	count := map[Mutation]int{}
	mutants, _ := r.Mutants()
	for _, m := range mutants {
		count[m.Mutation]++
		what := strings.Join([]string{string(m.Mutation), m.Chain, m.Change}, ": ")
		if _, err := ReplaceIn(t.Context(), s, "copy", "", m.Ruleset()); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		text := list("copy")
		if text == original {
			t.Errorf("%s: nothing is other", what)
		}
		if before, twice := seen[text]; twice {
			t.Logf("%s is the same as %s", what, before)
		}
		seen[text] = what
	}
	for _, kind := range []Mutation{DeleteRule, SwapRules, FlipVerdict, ShiftPort, ShiftAddress, DropMatch, ChangeProtocol, ChangeState, FlipPolicy, ShiftLimit} {
		if count[kind] == 0 {
			t.Errorf("there is no mutant of the kind %s", kind)
		}
	}
	t.Log(len(seen), count)
	if text := list("original"); text != original {
		t.Error("making mutants changed the original")
	}
}
