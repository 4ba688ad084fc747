package ruleset

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// Each rule says in its comment where it stands.
func TestLocate(t *testing.T) {
	need(t, "nft")
	s := start(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "more.nft"), []byte("# a comment\ntcp dport 9 accept comment \"more.nft:2\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := File{Name: "rules.nft", Dir: dir, Text: `#!/usr/sbin/nft -f
flush ruleset
define web = { 80, 443 }  # "quoted { brace"
table inet t { chain early { type filter hook prerouting priority raw; policy accept;
	tcp dport 1 accept comment "LINE"; tcp dport 2 accept comment "LINE"; }
	set s { type inet_service; elements = { 1,
		2 } }
	map m {
		type inet_service : verdict
		elements = { 1 : accept,
			2 : drop }
	}
	chain input {
		type filter hook input priority 0; policy drop;
		comment "not # a rule { "
		counter accept comment "LINE"
		tcp dport $web \
			accept comment "LINE-1"
		tcp dport {
			5,
			6,
		} accept comment "LINE-3"
		tcp dport vmap @m comment "LINE"
		include "more.nft"
		tcp dport 3 jump {
			ip saddr 10.0.0.1 drop
			ip saddr 10.0.0.2 accept
		}
		ct state vmap { established : accept, related : accept,
			invalid : drop } comment "LINE-1"
	}
	chain after {
	}
}
add rule inet t after tcp dport 7 drop comment "LINE"
insert rule inet t after tcp dport 8 drop comment "LINE"
table ip u; add chain ip u c; add rule u c counter comment "LINE"
add table ip w { chain c { counter comment "LINE"; }; }
add chain ip w gone; add rule ip w gone counter; flush chain ip w gone; add rule ip w gone drop comment "LINE"
`, Format: NftScript}
	// The line that each comment is in.
	var numbered []string
	for i, line := range strings.Split(f.Text, "\n") {
		for strings.Contains(line, "LINE") {
			before, after, _ := strings.Cut(line, "LINE")
			offset := 0
			if strings.HasPrefix(after, "-") {
				offset = int(after[1] - '0')
				after = after[2:]
			}
			line = before + "rules.nft:" + strconv.Itoa(i+1-offset) + after
		}
		numbered = append(numbered, line)
	}
	f.Text = strings.Join(numbered, "\n")
	checkLines(t, s, f, 13)
}

func checkLines(t *testing.T, s *sandbox.Sandbox, f File, want int) {
	t.Helper()
	if err := LoadFileInto(t.Context(), s, "original", f); err != nil {
		t.Fatal(err)
	}
	r := read(t, s, "original")
	lines := Locate(r, f)
	found := 0
	for _, table := range r.Tables {
		for _, c := range table.Chains {
			for _, rule := range c.Rules {
				if rule.Comment == "" {
					continue
				}
				line := lines[table.Family+" "+table.Name][rule.Handle]
				if got := fmt.Sprintf("%s:%d", filepath.Base(line.File), line.Number); got != rule.Comment {
					t.Errorf("%s is said to stand at %s", rule.Text, got)
				}
				found++
			}
		}
	}
	if found != want {
		t.Errorf("%d rules, not %d", found, want)
	}
}

func TestLocateOthers(t *testing.T) {
	need(t, "nft", "iptables-restore", "ip6tables-restore")
	saved := `# written by hand
*filter
:INPUT ACCEPT [0:0]
:mine - [0:0]
-A INPUT -p tcp --dport 1 -m comment --comment "saved:5" -j ACCEPT
[3:180] -A INPUT -p tcp --dport 2 -m comment --comment "saved:6" -j mine
-A mine -m comment --comment "saved:7" -j DROP
-I INPUT -m comment --comment "saved:8" -j ACCEPT
-I INPUT 2 -m comment --comment "saved:9" -j ACCEPT
COMMIT
`
	json := `{"nftables": [
 {"metainfo": {"json_schema_version": 1}},
 {"add": {"table": {"family": "inet", "name": "t"}}},
 {"add": {"chain": {"family": "inet", "table": "t", "name": "c"}}},
 {"add": {"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [{"accept": null}], "comment": "json:5"}}},

 {"insert": {"rule": {"family": "inet", "table": "t", "chain": "c",
   "expr": [{"drop": null}], "comment": "json:7"}}}, {"add": {"rule":
  {"family": "inet", "table": "t", "chain": "c", "expr": [{"drop": null}], "comment": "json:8"}}}
]}
`
	for name, c := range map[string]struct {
		text  string
		rules int
	}{"json": {json, 3}} {
		t.Run(name, func(t *testing.T) { checkLines(t, start(t), File{Name: name, Text: c.text}, c.rules) })
	}
	t.Run("saved", func(t *testing.T) {
		s := start(t)
		f := File{Name: "saved", Text: saved}
		loadText(t, s, "original", saved)
		r := read(t, s, "original")
		lines := Locate(r, f)["ip filter"]
		if len(lines) != 5 {
			t.Errorf("%d lines: %v", len(lines), lines)
		}
		for _, c := range r.Tables[0].Chains {
			for _, rule := range c.Rules {
				if want := fmt.Sprintf("saved:%d", lines[rule.Handle].Number); !strings.Contains(string(rule.Attributes), want) && !strings.Contains(rule.Text, want) {
					t.Errorf("%s is said to stand at %s", rule.Text, want)
				}
				if text := lines[rule.Handle].Text; !strings.HasPrefix(text, "-") || !strings.Contains(saved, text+"\n") {
					t.Errorf("%s is said to read %q", rule.Text, text)
				}
			}
		}
	})
}

// Where the order of the file is not that of the rules, no line is told.
func TestNotLocated(t *testing.T) {
	need(t, "nft")
	s := start(t)
	text := `table ip t {
	chain c {
		tcp dport 1 accept
		tcp dport 2 accept
	}
}
insert rule ip t c position 0 tcp dport 3 accept
`
	text = strings.Replace(text, "insert rule ip t c position 0", "add rule ip t c index 0", 1)
	loadText(t, s, "original", text)
	if lines := Locate(read(t, s, "original"), File{Name: "x", Text: text}); len(lines) != 0 {
		t.Errorf("located %v", lines)
	}
}

// No text makes the reader fail, and every line that it tells is one of the
// text.
func FuzzLocate(f *testing.F) {
	for _, seed := range []string{"table inet t { chain c { accept; } }", "add rule ip t c drop", "include \"x", "chain c {", "\\\n#", "*filter\n-A INPUT -j DROP\nCOMMIT\n", `{"nftables":[{"rule":{"family":"ip","table":"t","chain":"c"}}]}`} {
		f.Add(seed)
	}
	r := &Ruleset{Tables: []Table{{Family: "inet", Name: "t", Chains: []Chain{{Name: "c", Rules: []Rule{{Handle: 1}}}}}, {Family: "ip", Name: "t", Chains: []Chain{{Name: "c", Rules: []Rule{{Handle: 2}}}}}}}
	f.Fuzz(func(t *testing.T, text string) {
		file := File{Name: "rules", Text: text, Dir: "/nonexistent"}
		for _, lines := range Locate(r, file) {
			for _, line := range lines {
				if line.Number < 1 || line.Number > strings.Count(text, "\n")+1 {
					t.Errorf("line %d of %q", line.Number, text)
				}
			}
		}
	})
}
