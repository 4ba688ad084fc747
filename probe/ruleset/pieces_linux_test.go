package ruleset

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// manyRules is a script of more rules than one piece has, of every kind of
// statement.
func manyRules() string {
	var b strings.Builder
	b.WriteString("flush ruleset\ndefine lan = 10.0.0.0/8 # a comment { with braces\ntable inet t {\n\tset s { type inet_service; elements = { 1, 2 }; }\n")
	for _, chain := range []string{"input", "more"} {
		fmt.Fprintf(&b, "\tchain %s {\n", chain)
		if chain == "input" {
			b.WriteString("\t\ttype filter hook input priority 0; policy drop;\n")
		}
		for i := range 200 {
			fmt.Fprintf(&b, "\t\ttcp dport %d ip saddr $lan accept comment \"%s %d; {\"\n", i+1, chain, i)
		}
		b.WriteString("\t\ttcp dport { 5, \\\n\t\t\t6 } drop; udp dport @s counter\n\t\tip saddr 10.0.0.1 jump {\n\t\t\tdrop\n\t\t}\n\t}\n")
	}
	b.WriteString("}\nadd rule inet t more tcp dport 7 drop\ninsert rule inet t more tcp dport 8 drop\n")
	return b.String()
}

// What is loaded in pieces is what is loaded at once.
func TestPieces(t *testing.T) {
	need(t, "nft", "iptables-restore")
	var saved strings.Builder
	saved.WriteString("# written by hand\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:mine - [0:0]\n")
	for i := range 400 {
		fmt.Fprintf(&saved, "-A %s -p tcp -m tcp --dport %d -j ACCEPT\n", []string{"INPUT", "mine"}[i%2], i+1)
	}
	saved.WriteString("COMMIT\n")
	for format, text := range map[Format]string{NftScript: manyRules(), IPTablesSave: saved.String()} {
		t.Run(string(format), func(t *testing.T) {
			s := start(t)
			loadText(t, s, "original", text)
			p := Part{Format: format, Text: text}
			pieces, several := p.pieces()
			if !several {
				t.Fatal("one piece")
			}
			for _, one := range pieces {
				if format == IPTablesSave && one.more {
					if _, err := restoreMore.Call(t.Context(), s, "copy", one.text); err != nil {
						t.Fatal(err)
					}
					continue
				}
				loadText(t, s, "copy", one.text)
			}
			same(t, s, "nft -s list ruleset")
			if format == NftScript {
				for i, one := range pieces {
					if strings.Count(one.text, "\n") != strings.Count(text, "\n") {
						t.Errorf("piece %d has other lines", i)
					}
				}
			}
		})
	}
}

// A script that is too large for one transaction of this user is loaded all the
// same, and a mistake in it is told with its line.
func TestTooLong(t *testing.T) {
	need(t, "nft")
	s := start(t)
	var b strings.Builder
	b.WriteString("table inet t {\n\tchain c {\n")
	const rules = 2500
	for i := range rules {
		fmt.Fprintf(&b, "\t\ttcp dport %d ip saddr 10.%d.0.0/16 accept\n", i+1, i%256)
	}
	whole := b.String() + "\t}\n}\n"
	loadText(t, s, "original", whole)
	if r := read(t, s, "original"); len(r.Tables[0].Chains[0].Rules) != rules {
		t.Errorf("%d rules", len(r.Tables[0].Chains[0].Rules))
	}
	lines := Locate(read(t, s, "original"), File{Name: "rules", Text: whole})["inet t"]
	if len(lines) != rules {
		t.Errorf("%d lines", len(lines))
	}
}

var restoreMore = sandbox.Register("ruleset/restore-more", func(ctx context.Context, _ *sandbox.Inside, text string) (struct{}, error) {
	_, err := run(ctx, "test", "", text, "iptables-restore", "--noflush")
	return struct{}{}, err
})
