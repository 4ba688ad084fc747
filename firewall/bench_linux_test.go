package firewall

import (
	"fmt"
	"strings"
	"testing"
)

// Four maps of one zone, of TCP and UDP in both families: 262,140 verdicts, and
// those of 512 types of ICMP.
func BenchmarkFourMaps(b *testing.B) {
	head := "table inet f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy %s;\n\t\tct state established,related accept\n\t\ttcp dport { 22, 80, 443 } accept\n\t\tudp dport 53 accept\n\t\ttcp dport 8000-9000 reject with tcp reset\n\t\tudp dport 8000-9000 reject\n%s\t}\n}\n"
	for _, c := range []struct{ name, text string }{
		{"Accept", fmt.Sprintf(head, "accept", "")},
		{"Drop", fmt.Sprintf(head, "drop", "")},
		{"Reject", fmt.Sprintf(head, "accept", "\t\treject\n")},
	} {
		rules := load(b, c.text)
		for _, zone := range []string{Outside, Loopback} {
			for name, without := range map[string]bool{"verdicts": true, "rules": false} {
				b.Run(c.name+"/"+zone+"/"+name, func(b *testing.B) {
					for b.Loop() {
						maps, err := Make(b.Context(), rules, Options{From: []string{zone}, WithoutRules: without})
						if err != nil {
							b.Fatal(err)
						}
						if len(maps.Maps) < 3 {
							b.Fatal("maps are missing")
						}
					}
				})
			}
		}
	}
}

// The map of a ruleset of 1,000 rules that every packet passes one after the other:
// four of one zone, with the rule that decided.
func BenchmarkThousandRules(b *testing.B) {
	var text strings.Builder
	text.WriteString("table inet f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "\t\ttcp dport %d ip saddr 10.%d.0.0/16 accept\n", 1000+13*i, i%250)
	}
	text.WriteString("\t}\n}\n")
	for b.Loop() {
		rules := load(b, text.String())
		if _, err := Make(b.Context(), rules, Options{From: []string{Outside}}); err != nil {
			b.Fatal(err)
		}
	}
}
