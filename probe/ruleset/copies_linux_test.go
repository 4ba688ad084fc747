package ruleset

import (
	"strings"
	"testing"
)

// A rule that sends a copy does everything else that it did.
func TestWithoutCopies(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table ip t {
	chain c {
		tcp dport 80 counter dup to 20.20.20.9
		tcp dport 81 dup to ip saddr map { 1.1.1.1 : 2.2.2.2 } accept
		tcp dport 82 drop
	}
}
`)
	r := read(t, s, "original")
	r.Legacy4.Save = "*mangle\n-A INPUT -p tcp -j TEE --gateway 1.2.3.4\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n"
	without, copying := r.WithoutCopies()
	var texts []string
	for _, rule := range copying {
		texts = append(texts, rule.Text)
	}
	if got := strings.Join(texts, "\n"); got != `tcp dport 80 counter dup to 20.20.20.9
tcp dport 81 dup to ip saddr map { 1.1.1.1 : 2.2.2.2 } accept
-A INPUT -p tcp -j TEE --gateway 1.2.3.4` {
		t.Errorf("those that copy:\n%s", got)
	}
	if got := without.Legacy4.Save; got != "*mangle\n-A INPUT -p tcp\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n" {
		t.Errorf("iptables-legacy:\n%s", got)
	}
	without.Legacy4 = Legacy{}
	copied := load(t, s, "copy", without)
	list := sh(t, s, "copy", "nft -s list ruleset")
	if strings.Contains(list, "dup") || strings.Count(list, "tcp dport") != 3 || !strings.Contains(list, "accept") {
		t.Errorf("the kernel has\n%s", list)
	}
	if got := len(copied.Handles["ip t"]); got != 3 {
		t.Errorf("%d rules keep their handles", got)
	}
	if again, none := without.WithoutCopies(); len(none) > 0 || len(again.Tables) != 1 {
		t.Errorf("%d rules still copy", len(none))
	}
}

// So does a target of iptables-nft.
func TestWithoutTEE(t *testing.T) {
	need(t, "nft", "iptables-nft-restore")
	s := start(t)
	err := LoadFileInto(t.Context(), s, "original", File{Traced: true, Text: `*mangle
-A INPUT -p tcp -m tcp --dport 80 -j TEE --gateway 20.20.20.9
COMMIT
`})
	if err != nil {
		t.Skip(err) // a kernel without it
	}
	without, copying := read(t, s, "original").WithoutCopies()
	if len(copying) != 1 {
		t.Fatalf("%d rules copy", len(copying))
	}
	load(t, s, "copy", without)
	if list := sh(t, s, "copy", "nft -s list ruleset"); strings.Contains(list, "TEE") || !strings.Contains(list, "dport 80") {
		t.Errorf("the kernel has\n%s", list)
	}
}
