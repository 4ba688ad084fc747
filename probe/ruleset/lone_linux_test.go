package ruleset

import (
	"strings"
	"testing"
)

// Each rule is met by a lone packet as the text says: it stays without what
// counts, or it is gone.
func TestLone(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	limit slow { rate 1/second; }
	limit fast { rate over 1/second; }
	quota little { 1 bytes; }
	quota spent { over 1 bytes; }
	set seen { type ipv4_addr; flags dynamic; size 64; }
	set flood { type ipv4_addr; flags dynamic; size 64; }
	chain c {
		tcp dport 1 limit rate 1/second accept comment "stays"
		tcp dport 2 limit rate over 1/second drop comment "goes"
		tcp dport 3 quota 1 bytes accept comment "stays"
		tcp dport 4 quota over 1 bytes drop comment "goes"
		tcp dport 5 ct count 1 accept comment "stays"
		tcp dport 6 ct count over 1 drop comment "goes"
		tcp dport 7 ct count over 0 drop comment "stays"
		tcp dport 8 limit name slow accept comment "stays"
		tcp dport 9 limit name fast drop comment "goes"
		tcp dport 10 quota name "little" accept comment "stays"
		tcp dport 11 quota name "spent" drop comment "goes"
		tcp dport 12 add @seen { ip saddr } accept comment "stays"
		tcp dport 13 add @flood { ip saddr limit rate over 1/second } drop comment "goes"
		tcp dport 14 add @flood { ip saddr limit rate 1/second } accept comment "stays"
		tcp dport 15 ip saddr @seen drop comment "is the same"
		tcp dport 16 numgen random mod 2 0 drop comment "is the same"
	}
}
`)
	original := read(t, s, "original")
	lone, differs := original.Lone()
	if !differs {
		t.Error("no rule is said to differ")
	}
	if chance := original.Chance(); len(chance) != 1 || !strings.Contains(chance[0].Text, "numgen") {
		t.Errorf("by chance: %v", chance)
	}
	load(t, s, "copy", lone)
	texts := map[string]string{}
	for _, rule := range read(t, s, "copy").Tables[0].Chains[0].Rules {
		port, _, _ := strings.Cut(strings.TrimPrefix(rule.Text, "tcp dport "), " ")
		texts[port] = rule.Text
	}
	for _, rule := range original.Tables[0].Chains[0].Rules {
		port, _, _ := strings.Cut(strings.TrimPrefix(rule.Text, "tcp dport "), " ")
		text, there := texts[port]
		switch {
		case rule.Comment == "goes" && there:
			t.Errorf("%s: still there as %s", rule.Text, text)
		case rule.Comment == "is the same" && text != rule.Text:
			t.Errorf("%s: is %q", rule.Text, text)
		case rule.Comment == "stays" && (!there || text == rule.Text):
			t.Errorf("%s: is %q", rule.Text, text)
		case rule.Comment == "stays" && (strings.Contains(text, "limit") || strings.Contains(text, "quota") || strings.Contains(text, "add @")):
			t.Errorf("%s: still counts: %s", rule.Text, text)
		}
	}
	counted, counting := original.Counted()
	if len(counting) != len(original.Tables[0].Chains[0].Rules)-2 {
		t.Errorf("%d rules count", len(counting))
	}
	sh(t, s, "copy", "nft flush ruleset")
	load(t, s, "copy", counted)
	for i, rule := range read(t, s, "copy").Tables[0].Chains[0].Rules {
		was := original.Tables[0].Chains[0].Rules[i]
		port, _, _ := strings.Cut(strings.TrimPrefix(was.Text, "tcp dport "), " ")
		want := texts[port]
		if was.Comment == "goes" { // it matches, and does nothing
			want = "tcp dport " + port + ` comment "goes"`
		}
		if bare(rule.Text) != bare(want) {
			t.Errorf("%s: is %q where rules are counted, not %q", was.Text, rule.Text, want)
		}
	}
	if _, differs := (&Ruleset{}).Lone(); differs {
		t.Error("no rules are said to differ")
	}
}

// bare is a rule without what nft adds when it has an address of IPv4 looked up.
func bare(rule string) string { return strings.Replace(rule, " meta nfproto ipv4", "", 1) }

// The matches of iptables, by their binary form.
func TestLoneExtensions(t *testing.T) {
	need(t, "iptables-restore")
	s := start(t)
	loadText(t, s, "original", `*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp --dport 1 -m limit --limit 1/sec -m comment --comment stays -j ACCEPT
-A INPUT -p tcp --dport 2 -m hashlimit --hashlimit-upto 1/sec --hashlimit-name a -m comment --comment stays -j ACCEPT
-A INPUT -p tcp --dport 3 -m hashlimit --hashlimit-above 1/sec --hashlimit-name b -m comment --comment goes -j DROP
-A INPUT -p tcp --dport 4 -m connlimit --connlimit-above 1 -m comment --comment goes -j DROP
-A INPUT -p tcp --dport 5 -m connlimit --connlimit-upto 1 -m comment --comment stays -j ACCEPT
-A INPUT -p tcp --dport 6 -m recent --name r --set -m comment --comment stays -j ACCEPT
-A INPUT -p tcp --dport 7 -m recent --name r --rcheck -m comment --comment goes -j DROP
-A INPUT -p tcp --dport 8 -m recent --name r ! --rcheck -m comment --comment stays -j ACCEPT
-A INPUT -p tcp --dport 9 -m quota --quota 1000 -m comment --comment stays -j ACCEPT
COMMIT
`)
	original := read(t, s, "original")
	lone, _ := original.Lone()
	copied := load(t, s, "copy", lone)
	kept := map[uint64]bool{}
	for _, handle := range copied.Handles["ip filter"] {
		kept[handle] = true
	}
	for _, chain := range original.Tables[0].Chains {
		for _, rule := range chain.Rules {
			if stays := strings.Contains(string(rule.Attributes), "stays"); kept[rule.Handle] != stays {
				t.Errorf("%s: kept %v", rule.Text, kept[rule.Handle])
			}
		}
	}
}
