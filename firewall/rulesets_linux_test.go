package firewall

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

// ported is a ruleset as it is found on machines, and what it does by what is
// written in it.
type ported struct {
	// file is that of testdata/rulesets, or of examples.
	file     string
	examples bool
	// want is by zone, protocol and family what happens to every port, as in
	// "22,80-90 accept; 113 drop; rest drop".
	want map[string]string
	// decided is the text of the line of the rule that decides about a port of a
	// map, as in "outside tcp ipv4 22". One that begins with "policy" is a
	// chain's.
	decided map[string]string
	// containers are the zones of addresses that packets land at.
	containers map[string]string
	// chance are places between which a rule chooses by chance, and chanceChains
	// the chains.
	chance       []string
	chanceChains *regexp.Regexp
}

// examples is where Debian's package nftables puts them.
const examples = "/usr/share/doc/nftables/examples"

// everywhere is a map for each protocol and family from loopback alike, beside
// some of its own.
func everywhere(outcome string, others map[string]string) map[string]string {
	all := map[string]string{}
	for _, protocol := range []string{"tcp", "udp", "icmp"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			all["loopback "+protocol+" "+family] = "rest " + outcome
		}
	}
	for name, text := range others {
		all[name] = text
	}
	return all
}

const prohibited, prohibited6 = "reject with icmp admin-prohibited", "reject with icmpv6 admin-prohibited"

// invalid4 and invalid6 are the types of ICMP that begin nothing: errors,
// answers, and those that no standard has. Connection tracking takes them for
// invalid, but for neighbour discovery and multicast listeners, which it does not
// track (RFC 792, RFC 4443, nf_conntrack_proto_icmp.c and its like for IPv6).
const (
	invalid4 = "0-7,9-12,14,16,18-255"
	invalid6 = "0-127,129,137-138,140-142,144-150,153-255"
)

var firewalld = map[string]string{
	"outside tcp ipv4": "22,9090,5900-5910 accept; 113 reject with tcp-reset; 2000-2010 drop; 2222 accept at 10.0.5.20:22; " +
		"3389 reject with icmp host-prohibited; 8443 accept at 20.20.20.1:443; rest " + prohibited,
	"outside tcp ipv6": "22,9090,5900-5910 accept; 113 reject with tcp-reset; 2000-2010 drop; " +
		"3389 reject with icmpv6 no-route; 8443 accept at [2a10:20:20:14::1]:443; rest " + prohibited6,
	"outside udp ipv4":  "1194,51820 accept; 6000-6003 accept at 10.0.5.20:7000; rest " + prohibited,
	"outside udp ipv6":  "1194,51820 accept; rest " + prohibited6,
	"outside icmp ipv4": invalid4 + " drop; 13 reject with icmp host-unreachable; rest accept",
	"outside icmp ipv6": invalid6 + " drop; rest accept",
}

var rulesets = []ported{
	{
		file: "ufw.rules",
		want: everywhere("accept", map[string]string{
			"outside tcp ipv4":  "22,80,443,5432,8443-8444,9100 accept; 113 reject with tcp-reset; rest drop",
			"outside tcp ipv6":  "22,80,443,5432,8080,8443-8444 accept; 113 reject with tcp-reset; rest drop",
			"outside udp ipv4":  "443,60000-61000 accept; 1900 reject with icmp port-unreachable; rest drop",
			"outside udp ipv6":  "443,60000-61000 accept; 1900 reject with icmpv6 port-unreachable; rest drop",
			"outside icmp ipv4": "8 accept; rest drop",
			// Errors that belong to nothing are dropped as invalid before they
			// would be accepted; neighbour discovery and echo are not.
			"outside icmp ipv6": "128-129,133-136 accept; rest drop",
		}),
		decided: map[string]string{
			"loopback tcp ipv4 23":   "-A ufw-before-input -i lo -j ACCEPT",
			"outside tcp ipv4 22":    "-A ufw-user-limit-accept -j ACCEPT",
			"outside tcp ipv4 23":    "-A ufw-user-input -p tcp -m tcp --dport 23 -j DROP",
			"outside tcp ipv4 24":    "policy drop",
			"outside tcp ipv4 139":   "-A ufw-skip-to-policy-input -j DROP",
			"outside tcp ipv4 5432":  "-A ufw-user-input -i eth0 -p tcp -m tcp --dport 5432 -j ACCEPT",
			"outside tcp ipv4 8080":  "-A ufw-user-input -s 20.20.20.2/32 -p tcp -m tcp --dport 8080 -j DROP",
			"outside tcp ipv6 8080":  "-A ufw6-user-input -p tcp -m tcp --dport 8080 -j ACCEPT",
			"outside udp ipv4 60500": "-A ufw-user-input -p udp -m multiport --dports 60000:61000 -j ACCEPT",
			"outside icmp ipv4 3":    "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP",
			"outside icmp ipv6 135":  "-A ufw6-before-input -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255 -j ACCEPT",
		},
	},
	{
		file: "docker.rules",
		want: everywhere("accept", map[string]string{
			"outside tcp ipv4": "22,2376 accept; 2375 reject with tcp-reset; 8080 accept at 172.17.0.2:80; rest drop",
			"outside udp ipv4": "5300 accept at 172.18.0.3:53; rest drop",
			// There are no rules for IPv6.
			"outside tcp ipv6": "rest accept", "outside udp ipv6": "rest accept", "outside icmp ipv6": "rest accept",
			"outside icmp ipv4": "8 accept; rest drop",
		}),
		decided: map[string]string{
			"outside tcp ipv4 3306": "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 3306 --ctdir ORIGINAL -j DROP",
			"outside tcp ipv4 8080": "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
			"outside udp ipv4 5300": "-A DOCKER -d 172.18.0.3/32 ! -i br-5d1c0a7e9f21 -o br-5d1c0a7e9f21 -p udp -m udp --dport 53 -j ACCEPT",
			"outside udp ipv4 53":   "policy drop",
		},
		containers: map[string]string{"172.17.0.2": "docker0", "172.18.0.3": "br-5d1c0a7e9f21"},
	},
	{
		file: "kube-proxy.rules",
		want: everywhere("accept", map[string]string{
			// From 127.0.0.1 no route leads to a pod.
			"loopback tcp ipv4": "30080 drop; 30090 reject with icmp port-unreachable; rest accept",
			"outside tcp ipv4":  "10250-10259 drop; 30080 accept at 10.244.1.5:8000; 30090 reject with icmp port-unreachable; rest accept",
			"outside tcp ipv6":  "10250-10259 " + prohibited6 + "; rest accept",
			"outside udp ipv4":  "rest accept", "outside udp ipv6": "rest accept",
			"outside icmp ipv4": "rest accept", "outside icmp ipv6": "rest accept",
		}),
		decided: map[string]string{
			"outside tcp ipv4 30080": `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT`,
			"outside tcp ipv4 30090": `-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "shop/idle:http has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30090 -j REJECT --reject-with icmp-port-unreachable`,
			"outside tcp ipv4 32111": `-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web:http health check node port" -m tcp --dport 32111 -j ACCEPT`,
			"outside tcp ipv4 443":   "policy accept",
		},
		containers: map[string]string{"10.244.1.5": Outside, "10.244.2.7": Outside},
		chance:     []string{"10.244.1.5:8000", "10.244.2.7:8000"}, chanceChains: regexp.MustCompile("^ip nat KUBE-SEP-(?:ONE|TWO)"),
	},
	{
		file: "firewalld.nft",
		want: everywhere("accept", firewalld),
		decided: map[string]string{
			"loopback udp ipv6 9":    `iifname "lo" accept`,
			"outside tcp ipv4 22":    "tcp dport 22 accept",
			"outside tcp ipv4 23":    "reject with icmpx admin-prohibited",
			"outside tcp ipv4 2222":  "ct status dnat accept",
			"outside tcp ipv4 8443":  "ct status dnat accept",
			"outside tcp ipv6 3389":  "ip6 saddr 2a10:20:20::/48 tcp dport 3389 reject with icmpv6 no-route",
			"outside udp ipv4 51820": "udp dport { 1194, 51820 } accept",
			"outside icmp ipv4 13":   "icmp type { timestamp-request, timestamp-reply } reject with icmpx host-unreachable",
			"outside icmp ipv6 128":  "meta l4proto { icmp, ipv6-icmp } accept",
		},
		containers: map[string]string{"10.0.5.20": Outside},
	},
	{
		file:       "firewalld.json",
		want:       everywhere("accept", firewalld),
		containers: map[string]string{"10.0.5.20": Outside},
	},
	{
		examples: true, file: "workstation.nft",
		want: everywhere("accept", map[string]string{
			"outside tcp ipv4": "rest drop", "outside tcp ipv6": "rest drop",
			"outside udp ipv4": "rest drop", "outside udp ipv6": "rest drop",
			"outside icmp ipv4": "rest drop",
			"outside icmp ipv6": "1-4,128-129,133-136,148-149 accept; rest drop",
		}),
		decided: map[string]string{
			"outside tcp ipv4 22":    "counter drop",
			"loopback tcp ipv4 22":   "iif lo accept",
			"outside icmp ipv6 1":    "meta nfproto ipv6 icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-reply, echo-request, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, 148, 149 } accept",
			"outside icmp ipv4 8":    "counter drop",
			"outside udp ipv6 65535": "counter drop",
		},
	},
	{
		examples: true, file: "ct_helpers.nft",
		// Helpers are assigned, and nothing is accepted.
		want: everywhere("drop", map[string]string{
			"outside tcp ipv4": "rest drop", "outside tcp ipv6": "rest drop",
			"outside udp ipv4": "rest drop", "outside udp ipv6": "rest drop",
			"outside icmp ipv4": "rest drop", "outside icmp ipv6": "rest drop",
		}),
		decided: map[string]string{"outside tcp ipv4 21": "policy drop", "loopback udp ipv6 69": "policy drop"},
	},
	{
		examples: true, file: "nat.nft",
		want: everywhere("accept", map[string]string{
			"outside tcp ipv4": "1000 accept at 1.1.1.1:1234; 2000 accept at 2.2.2.2:2345; 3000 accept at 3.3.3.3:3456; rest accept",
			"outside tcp ipv6": "rest accept",
			"outside udp ipv4": "rest accept", "outside udp ipv6": "rest accept",
			"outside icmp ipv4": "rest accept", "outside icmp ipv6": "rest accept",
		}),
		containers: map[string]string{"1.1.1.1": elsewhere, "2.2.2.2": elsewhere, "3.3.3.3": elsewhere},
	},
	// It includes those that have chains without rules, of every family.
	{examples: true, file: "all-in-one.nft", want: open},
	// No hook leads to its chain.
	{examples: true, file: "overview.nft", want: open},
}

// open is what rulesets do that decide about nothing.
var open = everywhere("accept", map[string]string{
	"outside tcp ipv4": "rest accept", "outside tcp ipv6": "rest accept",
	"outside udp ipv4": "rest accept", "outside udp ipv6": "rest accept",
	"outside icmp ipv4": "rest accept", "outside icmp ipv6": "rest accept",
})

func (p ported) read(t *testing.T) ruleset.File {
	t.Helper()
	folder := filepath.Join("testdata", "rulesets")
	if p.examples {
		folder = examples
	}
	text, err := os.ReadFile(filepath.Join(folder, p.file))
	if p.examples && errors.Is(err, fs.ErrNotExist) {
		t.Skip("the examples of the package nftables are not installed: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ruleset.File{Name: p.file, Text: string(text), Dir: folder}
}

// A map of rules as they are found on machines says what is written in them,
// what sockets see, and which rule nft shows a packet to meet.
func TestRealRulesets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i, p := range rulesets {
		t.Run(p.file, func(t *testing.T) {
			file := p.read(t)
			rules := loadFile(t, file)
			maps, err := Make(t.Context(), rules, Options{From: []string{Loopback, Outside}, Uplink: "eth0"})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range maps.Maps {
				p.compare(t, m)
			}
			for place, text := range p.decided {
				p.decides(t, file, maps, place, text)
			}
			o := newOracle(t, rules, file, p)
			o.sockets(t, rand.New(rand.NewPCG(seed, uint64(i))), maps)
			o.traces(t, maps)
		})
	}
}

// compare asks a map about every port.
func (p ported) compare(t *testing.T, m Map) {
	t.Helper()
	name := m.Zone + " " + m.Protocol + " " + m.Family
	want, known := p.want[name]
	if !known {
		t.Errorf("%s: nothing is said of it", name)
		return
	}
	first, last := 1, 65535
	if m.Protocol == "icmp" {
		first, last = 0, 255
	}
	expected := expand(t, want, first, last)
	covered := first
	for _, r := range m.Ranges {
		if int(r.First) != covered {
			t.Fatalf("%s: a range begins at %d, and the one before ended at %d", name, r.First, covered-1)
		}
		for ; covered <= int(r.Last); covered++ {
			if got := r.Outcome(); got != expected[covered] && !p.byChance(got, expected[covered]) {
				t.Errorf("%s %d: %s, and the rules say %s", name, covered, got, expected[covered])
				covered = int(r.Last)
			}
		}
	}
	if covered != last+1 {
		t.Errorf("%s: ends at %d", name, covered-1)
	}
}

// byChance says that both are outcomes between which chance decides.
func (p ported) byChance(a, b string) bool {
	chosen := func(outcome string) bool {
		return slices.ContainsFunc(p.chance, func(at string) bool { return outcome == "accept at "+at })
	}
	return chosen(a) && chosen(b)
}

// expand gives each port what a text says of it.
func expand(t *testing.T, text string, first, last int) map[int]string {
	t.Helper()
	all := map[int]string{}
	for clause := range strings.SplitSeq(text, "; ") {
		ports, outcome, _ := strings.Cut(clause, " ")
		for part := range strings.SplitSeq(ports, ",") {
			from, to := first, last
			if part != "rest" {
				a, b, both := strings.Cut(part, "-")
				if !both {
					b = a
				}
				var err error
				if from, err = strconv.Atoi(a); err != nil {
					t.Fatal(err)
				}
				if to, err = strconv.Atoi(b); err != nil {
					t.Fatal(err)
				}
			}
			for ; from <= to; from++ {
				if all[from] == "" {
					all[from] = outcome
				}
			}
		}
	}
	return all
}

// decides asks which rule decided about a port.
func (p ported) decides(t *testing.T, file ruleset.File, maps *Maps, place, text string) {
	t.Helper()
	var zone, protocol, family string
	var port uint16
	if _, err := fmt.Sscan(place, &zone, &protocol, &family, &port); err != nil {
		t.Fatal(err)
	}
	m, known := maps.Find(zone, protocol, family)
	if !known && family == "ipv6" {
		return // the machine has none
	}
	r, found := m.At(port)
	if !found || r.Rule < 0 {
		t.Errorf("%s: %s", place, maps.Decided(r))
		return
	}
	rule := maps.Rules[r.Rule]
	got := rule.Text
	if rule.Line > 0 {
		got = strings.TrimSpace(strings.Split(file.Text, "\n")[rule.Line-1])
	}
	if got != text {
		t.Errorf("%s: decided by %s, which is %q, and not by %q", place, rule, got, text)
	}
}

func loadFile(t testing.TB, f ruleset.File) *Rules {
	t.Helper()
	r, err := LoadRules(t.Context(), f)
	skipRefused(t, err)
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Text)
	}
	return r
}

// What the kernel or nft refuses is said with its line; and interfaces are there
// for the rules to load, by whatever name or variable they are meant.
func TestRefusedExamples(t *testing.T) {
	for _, c := range []struct {
		file string
		line int
	}{
		{"load_balancing.nft", 12}, // no NAT is possible before connection tracking
		{"sets_and_maps.nft", 22},  // deletes a table that is not there
	} {
		file := ported{file: c.file, examples: true}.read(t)
		_, err := LoadRules(t.Context(), file)
		skipRefused(t, err)
		failed, ok := errors.AsType[*ruleset.FileError](err)
		if !ok || failed.Line != c.line || failed.Name != c.file {
			t.Errorf("%s: %v", c.file, err)
		}
	}
	file := ported{file: "sets_and_maps.nft", examples: true}.read(t)
	file.Text = strings.Replace(file.Text, "delete table filter\n", "\n", 1)
	rules := loadFile(t, file)
	maps, err := Make(t.Context(), rules, Options{WithoutRules: true, From: []string{Outside}})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := maps.Maps[0].At(1); r.Last != 65535 || r.Outcome() != "accept" {
		t.Errorf("port 1: %+v", r)
	}
}
