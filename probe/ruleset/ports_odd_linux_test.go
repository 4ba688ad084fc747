package ruleset

import (
	"slices"
	"testing"
)

// Odd rules have a comment.
func TestOddPorts(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	chain c {
		tcp dport & 1 == 1 accept comment "odd"
		meta l4proto tcp @th,16,8 0x20 accept comment "odd"
		@th,24,8 { 1, 2 } accept comment "odd"
		@th,8,16 5 accept comment "odd"
		@th,0,8 8 accept comment "odd"
		ip saddr 1.2.3.4 jhash tcp dport mod 2 0 accept comment "odd"
		meta l4proto != icmp @th,0,8 8 accept comment "odd"
		tcp dport { 22, 80-90 } accept
		tcp sport . tcp dport { 1 . 2 } accept
		th dport 4 accept
		@th,0,32 0x00160050 accept
		tcp flags syn accept
		udp length 20 accept
		icmp type echo-request accept
		icmp type echo-request icmp code 0 accept
		icmp code 1 accept
		icmp type & 1 == 1 accept
		icmp type . icmp code { echo-request . 1 } accept
		icmpv6 type { echo-request, nd-neighbor-solicit } accept
		ip protocol icmp @th,0,8 8 accept
	}
}
`)
	r := read(t, s, "original")
	odd := r.OddPorts()
	for _, rule := range r.Tables[0].Chains[0].Rules {
		is := slices.ContainsFunc(odd, func(o Rule) bool { return o.Handle == rule.Handle })
		if want := rule.Comment == "odd"; is != want {
			t.Errorf("%s: odd %v", rule.Text, is)
		}
	}
}

func TestOddFor(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", "table ip t {\n\tchain c {\n\t\ttcp dport & 1 == 1 accept\n\t}\n}\ntable inet t {\n\tchain c {\n\t\tth dport & 1 == 1 accept\n\t}\n}\n")
	r := read(t, s, "original")
	const tcp, udp = 6, 17
	if !r.OddFor(true, tcp) || !r.OddFor(true, udp) || !r.OddFor(false, udp) {
		t.Error("a rule about any protocol and family is not odd for one")
	}
	r.Tables = slices.DeleteFunc(r.Tables, func(t Table) bool { return t.Family == "inet" })
	if !r.OddFor(true, tcp) || r.OddFor(true, udp) || r.OddFor(false, tcp) {
		t.Error("a rule about TCP over IPv4 is odd for others")
	}
}
