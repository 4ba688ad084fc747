package ruleset

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

func script(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCopyIsTheSame(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", script(t, "rich.nft")+script(t, "expressions.nft"))
	// So that handles differ between the two.
	sh(t, s, "original", `nft add rule inet filter input counter; nft insert rule inet filter input udp dport 7 accept`)
	original := read(t, s, "original")
	copied := load(t, s, "copy", original)
	for _, omitted := range append(copied.Omitted, copied.Changed...) {
		t.Errorf("not copied as it was: %v", omitted)
	}
	listing := same(t, s, "nft list ruleset")
	for _, want := range []string{"jump ssh", "elements = { 1-5, 8", "comment \"private\"", "synproxy name", "jump {"} {
		if !strings.Contains(listing, want) {
			t.Errorf("the rules lack %q", want)
		}
	}
	again := read(t, s, "copy")
	differ := 0
	for _, table := range again.Tables {
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				handle, found := copied.Original(table.Family, table.Name, rule.Handle)
				if !found {
					t.Errorf("%s %s: no original of handle %d: %s", table.Family, table.Name, rule.Handle, rule.Text)
					continue
				}
				if handle != rule.Handle {
					differ++
				}
				was, itself, found := original.Find(table.Family, table.Name, handle)
				if !found || itself.Text != rule.Text || itself.Comment != rule.Comment || itself.Position != rule.Position {
					t.Errorf("%q in chain %s is said to come from %q in chain %s", rule.Text, chain.Name, itself.Text, was.Name)
				}
			}
		}
	}
	if differ < 10 {
		t.Errorf("only %d rules have another handle in the copy", differ)
	}
}

func TestReadDescribes(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", script(t, "rich.nft"))
	r := read(t, s, "original")
	texts := map[string]Rule{}
	for _, table := range r.Tables {
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				if strings.HasPrefix(rule.Text, "rule ") {
					t.Errorf("no text for %s", rule.Text)
				}
				texts[rule.Text] = rule
			}
		}
	}
	if got := texts["udp dport 53 reject with icmpx admin-prohibited"]; got.Handle == 0 || got.Position == 0 {
		t.Errorf("%+v", got)
	}
	const comment = "a connection # handle 3 {"
	if !slices.ContainsFunc(slices.Collect(maps.Values(texts)), func(r Rule) bool {
		return r.Comment == comment && strings.HasSuffix(r.Text, ` accept comment "`+comment+`"`)
	}) {
		t.Errorf("no rule has the comment %q", comment)
	}
	if texts["ip saddr 10.1.2.3 drop"].Handle == 0 {
		t.Error("no text for a rule within a rule")
	}
	input, _ := r.Chain("inet", "filter", "input")
	if b := input.Base; b == nil || b.Type != "filter" || b.Hook != "input" || b.Priority != 0 || b.Policy != "drop" {
		t.Errorf("inet filter input: %+v", b)
	}
	ingress, _ := r.Chain("netdev", "wire", "coming")
	if b := ingress.Base; b == nil || b.Hook != "ingress" || b.Priority != -5 || fmt.Sprint(b.Devices) != "[lo]" {
		t.Errorf("netdev wire coming: %+v", b)
	}
	if _, found := r.Chain("inet", "filter", "none"); found {
		t.Error("found a chain that is not there")
	}
}

const savedNft = `*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:own - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m multiport --dports 1,2,3:9 -m comment --comment "several ports" -j REJECT --reject-with tcp-reset
-A INPUT ! -p tcp -m limit --limit 5/sec -j LOG --log-prefix foo
-A INPUT -p udp -m udp --dport 53 -m hashlimit --hashlimit-above 10/sec --hashlimit-mode srcip --hashlimit-name dns -j DROP
-A INPUT -p tcp -m tcp --dport 22 -m recent --set --name ssh --rsource -j own
-A INPUT -p tcp -m string --string "GET /" --algo bm -g own
-A own -p tcp -m tcp --tcp-flags SYN,RST SYN -j RETURN
-A OUTPUT -p tcp -m owner --uid-owner 0 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A OUTPUT -p tcp -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:8080
-A OUTPUT -p udp -m udp --dport 81 -j REDIRECT --to-ports 8081
-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 1024-2048
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A OUTPUT -j MARK --set-xmark 0x5/0xffffffff
COMMIT
`

const saved6 = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 5 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT
-A INPUT -s fe80::/10 -p tcp -m multiport --ports 7,8 -j REJECT --reject-with tcp-reset
COMMIT
`

func TestCopyOfIPTablesNft(t *testing.T) {
	need(t, "iptables-nft-save", "ip6tables-nft-save", "iptables-nft-restore", "ip6tables-nft-restore")
	s := start(t)
	nft := func(version string) string { return "# Generated by " + version + "-save v1.8.9 (nf_tables)\n" }
	loadText(t, s, "original", nft("iptables")+savedNft+nft("ip6tables")+saved6)
	copied := load(t, s, "copy", read(t, s, "original"))
	if len(copied.Omitted)+len(copied.Changed) != 0 {
		t.Errorf("left out %v, changed %v", copied.Omitted, copied.Changed)
	}
	if got := same(t, s, "iptables-nft-save"); strings.Count(got, "\n-A ") != 14 {
		t.Errorf("saved:\n%s", got)
	}
	if got := same(t, s, "ip6tables-nft-save"); strings.Count(got, "\n-A ") != 3 {
		t.Errorf("saved:\n%s", got)
	}
	for _, table := range read(t, s, "copy").Tables {
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				if strings.Contains(rule.Text, "several") && rule.Comment != "several ports" {
					t.Errorf("comment %q of %s", rule.Comment, rule.Text)
				}
			}
		}
	}
}

func TestCopyOfIPTablesLegacy(t *testing.T) {
	need(t, "iptables-legacy-save", "ip6tables-legacy-save", "iptables-legacy-restore", "ip6tables-legacy-restore")
	s := start(t)
	if sh(t, s, "original", "cat /proc/thread-self/net/ip_tables_names || echo none") == "none\n" {
		t.Skip("this kernel has no tables of iptables-legacy")
	}
	loadText(t, s, "original", "# Generated by iptables-save v1.8.9 on a day\n"+savedNft+"# Generated by ip6tables-save v1.8.9 on a day\n"+saved6)
	original := read(t, s, "original")
	if len(original.Legacy4.Tables) != 3 || len(original.Legacy6.Tables) != 1 || len(original.Tables) != 0 {
		t.Fatalf("read %q, %q and %d tables of nf_tables", original.Legacy4.Tables, original.Legacy6.Tables, len(original.Tables))
	}
	load(t, s, "copy", original)
	// In which order it lists the tables has no meaning.
	const each = "for t in filter nat mangle; do iptables-legacy-save -t $t; done"
	if got := same(t, s, each); strings.Count(got, "\n-A ") != 14 {
		t.Errorf("saved:\n%s", got)
	}
	same(t, s, "ip6tables-legacy-save")
}

func TestCopyWithoutItsInterfaces(t *testing.T) {
	need(t, "nft")
	s := start(t)
	sh(t, s, "copy", "ip link delete eth0 2>/dev/null || true")
	sh(t, s, "original", "ip link add eth0 type veth peer name other 2>/dev/null || true")
	loadText(t, s, "original", `
		table netdev wire {
			chain only { type filter hook ingress device eth0 priority 0; tcp dport { 1, 2 } jump { accept; }; }
			chain both { type filter hook ingress devices = { eth0, lo } priority 1; tcp dport 3 drop; }
		}
		table inet filter {
			set interfaces { type iface_index; elements = { "eth0" }; }
			chain input { type filter hook input priority 0; iif "lo" accept; iif "eth0" drop; iif { "lo", "eth0" } counter; }
		}`)
	original := read(t, s, "original")
	copied := load(t, s, "copy", original)
	said := fmt.Sprint(copied.Omitted, copied.Changed)
	for _, want := range []string{
		"chain netdev wire only: there is no interface eth0",
		"chain netdev wire both: is on lo only",
		"compares with the interface eth0, which is not here",
		"set inet filter interfaces: holds the interface eth0",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("not said %q: %s", want, said)
		}
	}
	listing := sh(t, s, "copy", "nft list ruleset")
	if strings.Contains(listing, "chain only") || !strings.Contains(listing, "tcp dport 3 drop") || !strings.Contains(listing, `iif "lo" accept`) {
		t.Errorf("the copy:\n%s", listing)
	}
}

func TestCopyThatIsLarge(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet large {
		set many { type ipv4_addr; flags interval; }
		chain input { type filter hook input priority 0; }
	}`)
	// Within a user namespace nft sends no more at once than a socket holds by
	// default.
	for i := range 10 {
		var elements, rules strings.Builder
		for j := range 500 {
			fmt.Fprintf(&elements, "10.%d.%d.%d, ", i, j/100, j%100*2)
		}
		fmt.Fprintf(&rules, "add element inet large many { %s }\n", elements.String())
		for j := range 100 {
			n := i*100 + j
			fmt.Fprintf(&rules, "add rule inet large input tcp dport { %d, %d } ip saddr @many drop comment \"rule %d\"\n", n+1, n+4001, n)
		}
		loadText(t, s, "original", rules.String())
	}
	r := read(t, s, "original")
	p, err := makePlan(r, r.Interfaces)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.transactions(100 << 10)); n < 3 {
		t.Errorf("only %d transactions", n)
	}
	load(t, s, "copy", r)
	if listing := same(t, s, "nft list ruleset"); strings.Count(listing, "comment") != 1000 {
		t.Errorf("%d rules", strings.Count(listing, "comment"))
	}
}

func TestCopyIsWholeOrNothing(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", "table inet t { chain c { tcp dport 1 accept; tcp dport 2 accept; }; }")
	r := read(t, s, "original")
	rule := &r.Tables[0].Chains[0].Rules[1]
	a, err := nfnl.Parse(rule.Attributes)
	if err != nil {
		t.Fatal(err)
	}
	list := a.Nested(ruleExpressions)
	first, err := nfnl.Parse(list[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if list[0].Data, err = first.With(expressionName, zeroEnded("unheardof")).Encode(); err != nil {
		t.Fatal(err)
	}
	list[0].Length = 0
	encoded, err := list.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if rule.Attributes, err = a.With(ruleExpressions, encoded).Encode(); err != nil {
		t.Fatal(err)
	}
	_, err = LoadInto(t.Context(), s, "copy", r)
	refused := new(RefusedError)
	if !errors.As(err, &refused) || len(refused.Parts) == 0 || refused.Parts[0].Handle != rule.Handle || refused.Parts[0].Kind != "rule" {
		t.Errorf("got %v", err)
	}
	if left := sh(t, s, "copy", "nft list ruleset"); left != "" {
		t.Errorf("loaded in part:\n%s", left)
	}
}
