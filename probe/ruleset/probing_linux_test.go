package ruleset

import (
	"slices"
	"strings"
	"testing"
)

// A probed rule stands at the beginning of its chain as well, where it matches
// what it did and decides nothing.
func TestProbing(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	chain c {
		type filter hook input priority 0; policy drop;
		ct state established accept
		tcp dport 22 accept
		tcp dport { 80, 443 } accept
		ip saddr 10.0.0.1 udp dport 53 counter log prefix "dns" reject
		jump d
		drop
	}
	chain d { tcp dport 25 drop; }
}
`)
	original := read(t, s, "original")
	handle := func(text string) RuleID {
		for _, c := range original.Tables[0].Chains {
			for _, rule := range c.Rules {
				if strings.HasPrefix(rule.Text, text) {
					return RuleID{"inet", "t", rule.Handle}
				}
			}
		}
		t.Fatalf("there is no rule %s", text)
		return RuleID{}
	}
	probed := original.Probing([]RuleID{handle("tcp dport 22"), handle("ip saddr"), handle("tcp dport {"), handle("drop"), handle("tcp dport 25"), {"ip", "t", 1}})
	load(t, s, "copy", probed)
	texts := func(r *Ruleset, chain string) (list []string) {
		for _, c := range r.Tables[0].Chains {
			if c.Name == chain {
				for _, rule := range c.Rules {
					list = append(list, rule.Text)
				}
			}
		}
		return list
	}
	copied := read(t, s, "copy")
	before, after := texts(original, "c"), texts(copied, "c")
	added := after[:len(after)-len(before)]
	for i, text := range before {
		if after[len(added)+i] != text {
			t.Errorf("rule %d is %q, and was %q", i, after[len(added)+i], text)
		}
	}
	for _, text := range added {
		if strings.Contains(text, "accept") || strings.Contains(text, "drop") || strings.Contains(text, "reject") || strings.Contains(text, "log") {
			t.Errorf("a probe decides: %q", text)
		}
	}
	for _, text := range []string{"tcp dport 22", "ip saddr 10.0.0.1 udp dport 53"} {
		found := false
		for _, probe := range added {
			found = found || probe == text
		}
		if !found {
			t.Errorf("no probe %q among %q", text, added)
		}
	}
	if d := texts(copied, "d"); len(d) != 2 || d[0] != "tcp dport 25" {
		t.Errorf("chain d: %q", d)
	}
	if again := texts(original, "c"); len(again) != len(before) {
		t.Errorf("the original was changed: %q", again)
	}
	if none := original.Probing(nil); len(texts(none, "c")) != len(before) {
		t.Errorf("nothing to probe: %q", texts(none, "c"))
	}
}

func TestLeadsTo(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	map m { type inet_service : verdict; elements = { 22 : jump mapped }; }
	chain jumped { }
	chain gone { }
	chain mapped { }
	chain anonymous { }
	chain lonely { }
	chain c {
		tcp dport 1 jump jumped
		tcp dport 2 goto gone
		tcp dport vmap @m
		udp dport vmap { 53 : goto anonymous }
	}
}
table ip t {
	chain lonely { }
	chain c { jump lonely; }
}
`)
	r := read(t, s, "original")
	for _, chain := range []string{"jumped", "gone", "mapped", "anonymous"} {
		if !r.LeadsTo("inet", "t", chain) {
			t.Errorf("nothing leads to %s", chain)
		}
	}
	for _, place := range [][3]string{{"inet", "t", "lonely"}, {"inet", "t", "c"}, {"inet", "t", "none"}, {"ip6", "t", "jumped"}, {"ip", "t", "jumped"}} {
		if r.LeadsTo(place[0], place[1], place[2]) {
			t.Errorf("something leads to %v", place)
		}
	}
	if !r.LeadsTo("ip", "t", "lonely") {
		t.Error("nothing leads to the chain of the same name")
	}
}

// What is replaced leaves nothing behind, in that zone alone; a table that is kept
// stays, and where the kernel refuses the rules everything does.
func TestReplaceIn(t *testing.T) {
	need(t, "nft")
	s := start(t)
	for _, zone := range []string{"original", "copy"} {
		loadText(t, s, zone, "table inet t {\n\tset s { type inet_service; elements = { 1 }; }\n\tchain c { type filter hook input priority 0; tcp dport @s drop; }\n}\ntable ip u { }\ntable ip kept { }\ntable netdev n { chain c { type filter hook ingress device eth0 priority 0; }; }\n")
	}
	rules := read(t, s, "original")
	rules.Tables = rules.Tables[:1]
	tables := func(zone string) string {
		var names []string
		for _, table := range read(t, s, zone).Tables {
			names = append(names, table.Name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	for range 2 { // also where it is there already
		copied, err := ReplaceIn(t.Context(), s, "copy", "kept", rules)
		if err != nil || len(copied.Handles) == 0 {
			t.Fatal(copied, err)
		}
		if got := tables("copy"); got != "kept t" {
			t.Errorf("there are %s", got)
		}
	}
	broken := *rules
	broken.Tables = slices.Clone(rules.Tables)
	broken.Tables[0].Chains = nil
	broken.Tables[0].Sets = []Set{{Name: "s", Attributes: []byte{4, 0, 1, 0}}}
	if _, err := ReplaceIn(t.Context(), s, "copy", "", &broken); err == nil {
		t.Error("a set without a type is taken")
	}
	if got := tables("copy"); got != "kept t" {
		t.Errorf("after a refusal there are %s", got)
	}
	if _, err := ReplaceIn(t.Context(), s, "copy", "", &Ruleset{}); err != nil {
		t.Fatal(err)
	}
	if r := read(t, s, "copy"); !r.Empty() || len(r.Tables) != 0 {
		t.Errorf("left: %+v", r.Tables)
	}
	if got := tables("original"); got != "kept n t u" {
		t.Errorf("in the other zone there are %s", got)
	}
}

// Traced rules are in nf_tables, whatever program wrote them down.
func TestTraced(t *testing.T) {
	need(t, "iptables-nft-restore", "iptables-legacy-restore", "ip6tables-nft-restore")
	s := start(t)
	const head = "# Generated by iptables-save v1.8.9 on Sat Nov 28 22:00:00 2026\n*filter\n:INPUT ACCEPT [0:0]\n"
	f := File{Traced: true, Text: head + "-A INPUT -p tcp --dport 22 -j DROP\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s ::1 -j DROP\nCOMMIT\n"}
	f.Text = strings.Replace(f.Text, "COMMIT\n*filter", "COMMIT\n# Generated by ip6tables-save v1.8.9 on Sat Nov 28 22:00:00 2026\n*filter", 1)
	parts, err := f.Parts()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if !p.Traced || !p.Legacy {
			t.Errorf("part %+v", p)
		}
	}
	if err := LoadFileInto(t.Context(), s, "original", f); err != nil {
		t.Fatal(err)
	}
	r := read(t, s, "original")
	if len(r.Tables) != 2 || r.Legacy4.Save != "" || r.Legacy6.Save != "" {
		t.Errorf("tables of nf_tables: %+v; of iptables-legacy: %q, %q", r.Tables, r.Legacy4.Save, r.Legacy6.Save)
	}
}

// nft names no interface when it says that one is not there; its message points
// at it.
func TestMissingInterface(t *testing.T) {
	need(t, "nft")
	s := start(t)
	for name, text := range map[string]string{
		"a match":    "table inet t {\n\tchain c {\n\t\ttcp dport 22\tiif eth7 accept\n\t}\n}\n",
		"a variable": "define wan = eth7\ntable inet t {\n\tchain c {\n\t\tiif $wan accept\n\t}\n}\n",
		"forwarding": "table netdev t {\n\tchain c {\n\t\ttype filter hook ingress device eth0 priority 0\n\t\ttcp dport 1 fwd to eth7\n\t}\n}\n",
	} {
		err := LoadFileInto(t.Context(), s, "copy", File{Name: "rules", Text: text})
		if err == nil || !strings.Contains(err.Error(), `"eth7"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
