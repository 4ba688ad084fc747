package ruleset

import (
	"strings"
	"testing"
)

func TestMentions(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	set inside { type ifname; elements = { "lan0", "lan1" }; }
	set pairs { type inet_service . ifname; elements = { 22 . "adm0" }; }
	chain c {
		iifname "eth0" accept
		oifname { "wan0", "ppp0" } drop
		iifname @inside accept
		iifname . tcp dport vmap { "dmz0" . 80 : accept }
		tcp dport . oifname @pairs accept
		iif "lo" accept
		iifname { "tun*", "wg0" } accept
		iifname "veth*" accept
		oifname != "br-*" accept
		meta mark 1 accept
	}
}
table ip addresses {
	chain c {
		iifname "eth0" ip saddr 65.66.67.0/24 accept comment "is no pattern"
	}
}
`)
	r := read(t, s, "original")
	if got := strings.Join(r.Mentions(), " "); got != "adm0 dmz0 eth0 lan0 lan1 lo ppp0 wan0 wg0" {
		t.Errorf("mentions %s", got)
	}
	if got := strings.Join(r.Patterns(), " "); got != "br- tun veth" {
		t.Errorf("patterns %s", got)
	}
}

// Each rule's comment says by what else it goes.
func TestBeyond(t *testing.T) {
	need(t, "nft", "iptables-nft-restore")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	set web { type inet_service; }
	map marks { type mark : verdict; elements = { 7 : drop }; }
	chain c {
		tcp dport 22 ct state new ip saddr 10.0.0.1 iifname "eth0" counter accept
		icmp type echo-request limit rate 5/second accept
		udp dport @web meta nfproto ipv4 accept
		meta mark 1 accept comment "the mark"
		meta mark vmap @marks comment "the mark"
		meta length > 100 meta skuid 7 drop comment "the length, the user"
		tcp flags syn tcp dport 1 drop comment "the TCP flags"
		icmp code 3 drop comment "the code of ICMP"
		ct status dnat accept comment "the status of the connection"
		fib daddr type local accept comment "fib"
		tcp dport . meta mark { 22 . 1 } accept comment "the mark"
		meta mark set 3 accept comment "what it writes into packets"
	}
}
`)
	err := LoadFileInto(t.Context(), s, "original", File{Traced: true, Text: `*filter
-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN -j DROP
-A INPUT -p udp -m ttl --ttl-eq 3 -j DROP
COMMIT
`})
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, s, "original")
	rules := 0
	for _, table := range r.Tables {
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				rules++
				got := strings.Join(r.Only(RuleID{table.Family, table.Name, rule.Handle}).Beyond(), ", ")
				_, want, _ := strings.Cut(rule.Text, "comment \"")
				want, _, _ = strings.Cut(want, "\"")
				switch { // nft does not show comments of iptables
				case strings.HasPrefix(rule.Text, "tcp flags syn / syn,ack"):
					want = "the TCP flags"
				case strings.Contains(rule.Text, "ttl"):
					want = "ttl"
				}
				if got != want {
					t.Errorf("%s: %q", rule.Text, got)
				}
			}
		}
	}
	if rules != 15 {
		t.Errorf("%d rules", rules)
	}
}

// A mutant is about its rule, the neighbour it is swapped with, or what looks its
// set up.
func TestAbout(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	set web { type inet_service; elements = { 80 }; }
	chain c {
		type filter hook input priority 0; policy drop;
		tcp dport 1 accept
		tcp dport 2 accept
		tcp dport @web accept
	}
}
`)
	r := read(t, s, "original")
	mutants, _ := r.Mutants()
	for _, m := range mutants {
		var texts []string
		for _, rule := range r.About(m).Tables[0].Chains[0].Rules {
			texts = append(texts, rule.Text)
		}
		about := strings.Join(texts, "; ")
		switch _, own, _ := r.Find(m.Family, m.Table, m.Handle); {
		case m.Mutation == FlipPolicy:
			if about != "" {
				t.Errorf("the policy: about %q", about)
			}
		case m.Handle == 0:
			if about != "tcp dport @web accept" {
				t.Errorf("the set: about %q", about)
			}
		case m.Mutation == SwapRules:
			if len(texts) != 2 || texts[1] != own.Text {
				t.Errorf("swapped %s: about %q", own.Text, about)
			}
		case about != own.Text:
			t.Errorf("%s %s: about %q", m.Mutation, own.Text, about)
		}
	}
}
