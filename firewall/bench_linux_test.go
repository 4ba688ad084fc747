package firewall

import (
	"fmt"
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
