package ruleset

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/probe/portset"
)

// addressed compares with every kind of address and port, and computes with
// some.
const addressed = `table inet t {
	set hosts { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.9 }; }
	set nets { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.3.0.5-10.3.0.7, 255.255.255.0/24 }; }
	set six { type ipv6_addr; flags interval; elements = { fd00::/64 }; }
	set ports { type inet_service; flags interval; elements = { 100, 200-299 }; }
	set pairs { type ipv4_addr . inet_service; elements = { 10.5.0.1 . 700 }; }
	set spans { type inet_service . ipv4_addr; flags interval; elements = { 800-899 . 10.6.0.0/24 }; }
	map verdicts { type inet_service : verdict; elements = { 1000 : jump sub }; }
	chain sub { }
	chain c {
		ip saddr 192.0.2.1 tcp dport 22 accept
		ip saddr != 192.0.2.0/24 udp dport 1-9 accept
		ip daddr 198.51.100.0-198.51.100.127 th dport != 53 accept
		ip saddr @hosts accept
		ip daddr @nets tcp dport @ports accept
		ip6 saddr @six accept
		ip6 daddr fd01::1 tcp sport 1023 accept
		udp sport 5000-5999 accept
		ip daddr . tcp dport @pairs accept
		tcp dport . ip saddr @spans accept
		tcp dport vmap @verdicts
		tcp dport & 0xff == 80 drop
		meta mark set jhash tcp dport mod 4
	}
}
`

func TestConstants(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", addressed)
	r := read(t, s, "original")
	addr := netip.MustParseAddr
	span := func(first, last string) Span { return Span{addr(first), addr(last)} }
	got := r.Addresses()
	compare := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff([]Span{
		span("10.0.0.1", "10.0.0.1"), span("10.0.0.9", "10.0.0.9"),
		span("192.0.2.0", "192.0.2.255"), span("192.0.2.1", "192.0.2.1"),
		span("fd00::", "fd00::ffff:ffff:ffff:ffff"),
	}, sortedSpans(got.Sources), compare); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Span{
		span("10.1.0.0", "10.1.255.255"), span("10.3.0.5", "10.3.0.7"), span("198.51.100.0", "198.51.100.127"),
		span("255.255.255.0", "255.255.255.255"), span("fd01::1", "fd01::1"),
	}, sortedSpans(got.Destinations), compare); diff != "" {
		t.Errorf("destinations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint16{1023, 5000, 5999}, r.SourcePorts()); diff != "" {
		t.Errorf("source ports (-want +got):\n%s", diff)
	}
	ports := r.Ports()
	for _, port := range []uint16{22, 1, 9, 53, 100, 200, 300, 700, 800, 899, 1000, 1023, 5000, 5999} {
		if !slices.Contains(ports, port) {
			t.Errorf("port %d is not among %d", port, ports)
		}
	}
	if !slices.IsSorted(ports) {
		t.Errorf("ports %d", ports)
	}
	var odd []string
	for _, rule := range r.OddPorts() {
		odd = append(odd, rule.Text)
	}
	if len(odd) != 2 || !strings.Contains(odd[0], "drop") || !strings.Contains(odd[1], "jhash") {
		t.Errorf("computes with a port: %q", odd)
	}
}

func sortedSpans(spans []Span) []Span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int {
		if c := a.First.Compare(b.First); c != 0 {
			return c
		}
		return a.Last.Compare(b.Last)
	})
	return spans
}

// The matches of iptables for ports, in either form.
func TestPortsOfExtensions(t *testing.T) {
	need(t, "iptables-nft-restore")
	s := start(t)
	err := LoadFileInto(t.Context(), s, "original", File{Traced: true, Text: `*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m multiport --dports 80,443,8000:8010 -j ACCEPT
-A INPUT -p udp -m udp --sport 67 --dport 68:69 -j ACCEPT
-A INPUT -p sctp -m sctp --dport 3868 -j ACCEPT
-A INPUT -p udp -m multiport ! --ports 500,4500 -j DROP
COMMIT
`})
	if err != nil {
		t.Fatal(err)
	}
	ports := read(t, s, "original").Ports()
	for _, port := range []uint16{22, 80, 443, 8000, 8010, 67, 68, 69, 3868, 500, 4500} {
		if !slices.Contains(ports, port) {
			t.Errorf("port %d is not among %d", port, ports)
		}
	}
}

func TestEdges(t *testing.T) {
	addr := netip.MustParseAddr
	got := Edges([]Span{
		{addr("10.0.0.0"), addr("10.0.0.255")},
		{addr("10.0.1.0"), addr("10.0.1.0")},
		{addr("0.0.0.0"), addr("0.0.0.0")},
		{addr("fd00::"), addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
	})
	var texts []string
	for _, a := range got {
		texts = append(texts, a.String())
	}
	want := "0.0.0.0 0.0.0.1 9.255.255.255 10.0.0.0 10.0.0.255 10.0.1.0 10.0.1.1 fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd00:: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	if text := strings.Join(texts, " "); text != want {
		t.Errorf("edges %s, want %s", text, want)
	}
	if got := Edges(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// What a rule matches going out at an interface is behind it, by nft and by
// iptables; what it matches otherwise is not.
func TestBehind(t *testing.T) {
	need(t, "nft", "iptables-nft-restore")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	set inside { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.2.0.1-10.2.0.2 }; }
	chain c {
		oifname "lan0" ip daddr 192.168.1.0/24 accept
		oifname "lan0" ip daddr @inside accept
		oifname "lan0" ip6 daddr fd00::/64 accept
		oifname "lan0" ip daddr != 192.168.2.0/24 drop
		oifname "lan0" ip saddr 192.168.3.0/24 accept
		oifname "lan0" ip daddr 224.0.0.0/4 accept
		oifname "lan0" ip daddr 192.168.8.0-192.168.8.127 accept
		oifname != "lan1" ip daddr 192.168.4.0/24 drop
		oifname "lan*" ip daddr 192.168.5.0/24 accept
		oifname { "lan1", "lan2" } ip daddr 192.168.6.0/24 accept
		iifname "lan1" ip daddr 192.168.7.0/24 accept
	}
}
`)
	err := LoadFileInto(t.Context(), s, "original", File{Traced: true, Text: `*filter
:FORWARD DROP [0:0]
-A FORWARD -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A FORWARD -s 172.18.0.0/16 ! -o docker1 -j ACCEPT
COMMIT
`})
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, s, "original")
	got := map[string]string{}
	for name, networks := range r.Behind() {
		var texts []string
		for _, n := range networks {
			texts = append(texts, n.String())
		}
		slices.Sort(texts)
		got[name] = strings.Join(texts, " ")
	}
	want := map[string]string{"lan0": "10.1.0.0/16 192.168.1.0/24 192.168.8.0/25 fd00::/64", "docker0": "172.17.0.2/32"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	names := r.Mentions()
	slices.Sort(names)
	if text := strings.Join(names, " "); text != "docker0 docker1 lan0 lan1 lan2" {
		t.Errorf("mentions %s", text)
	}
}

// Each rule's comment says within which ports packets match it.
func TestBounds(t *testing.T) {
	need(t, "nft")
	s := start(t)
	loadText(t, s, "original", `table inet t {
	set web { type inet_service; elements = { 80, 443 }; }
	set changing { type inet_service; flags dynamic; elements = { 8080 }; }
	chain c {
		tcp dport 22 accept comment "22"
		tcp dport 1000-2000 accept comment "1000-2000"
		tcp dport { 25, 100-200 } accept comment "0-201"
		tcp dport @web accept comment "80-443"
		tcp dport @web tcp dport != 80 accept comment "80-443"
		tcp dport != 22 accept comment "1-65535"
		tcp dport > 1024 accept comment "1-65535"
		tcp dport != @web accept comment "1-65535"
		tcp dport @changing accept comment "1-65535"
		tcp dport & 1 == 1 accept comment "1-65535"
		tcp sport 53 accept comment "1-65535"
		meta l4proto tcp accept comment "1-65535"
	}
}
`)
	r := read(t, s, "original")
	for _, rule := range r.Tables[0].Chains[0].Rules {
		got := portset.Of(r.Only(RuleID{"inet", "t", rule.Handle}).Bounds()...).String()
		if got != rule.Comment {
			t.Errorf("%s: within %s", rule.Text, got)
		}
	}
}
