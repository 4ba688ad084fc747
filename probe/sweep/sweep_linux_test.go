package sweep_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

const outside = "outside"

// set is a machine with rules, and a zone outside at eth0.
func set(t *testing.T, rules string) *stage.Stage {
	t.Helper()
	s, err := stage.Start(t.Context(), stage.Config{Zones: []stage.Zone{{Name: outside, Interface: "eth0"}}, Forwards: true})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	load(t, s, rules)
	return s
}

func load(t *testing.T, s *stage.Stage, rules string) {
	t.Helper()
	err := ruleset.LoadFileInto(t.Context(), s.Sandbox, stage.Machine, ruleset.File{Name: "rules", Text: rules})
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		t.Skip(missing.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// every is a sweep of all ports, or of some.
func every(s *stage.Stage, zone string, family sock.Family, protocol sweep.Protocol, ports ...portset.Range) sweep.Sweep {
	if len(ports) == 0 {
		ports = []portset.Range{{First: 1, Last: 65535}}
		if protocol == sweep.ICMP {
			ports = []portset.Range{{First: 0, Last: 255}}
		}
	}
	return sweep.Sweep{Zone: zone, Source: s.Host(zone, family), To: s.Own(zone, family), Protocol: protocol, Ports: ports}
}

func ask(t *testing.T, s *stage.Stage, sweeps ...sweep.Sweep) [][]sweep.Run {
	t.Helper()
	results, err := sweep.Ask(t.Context(), s.Sandbox, s.Sweep, sweeps)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// told writes runs down, as in "1-21 drop, 22 accept".
func told(runs []sweep.Run) string {
	var parts []string
	for _, r := range runs {
		text := portset.Range{First: r.First, Last: r.Last}.String() + " " + r.Verdict.String()
		if r.Local {
			text += " on its way out"
		}
		if r.Landed.IsValid() {
			text += " at " + r.Landed.String()
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func expect(t *testing.T, what string, runs []sweep.Run, want string) {
	t.Helper()
	if got := told(runs); got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// kinds are rules that reject one port each, in every way that there is, and
// what becomes of these ports by family.
func kinds() (rules string, want map[sock.Family]map[uint16]string) {
	want = map[sock.Family]map[uint16]string{sock.IPv4: {}, sock.IPv6: {}}
	var b strings.Builder
	for i, k := range verdict.ICMPKinds() {
		port := uint16(3000 + 2*i)
		fmt.Fprintf(&b, "\t\tmeta nfproto %s th dport %d reject with %s\n", map[sock.Family]string{sock.IPv4: "ipv4", sock.IPv6: "ipv6"}[k.Family], port, k.Kind)
		want[k.Family][port] = "reject with " + string(k.Kind)
	}
	return b.String(), want
}

// What a rule rejects over lo is answered over lo, where the answer needs a rule
// that accepts it, as a program's would: ct state related.

// Every port of TCP and UDP over IPv4 and IPv6 gets the verdict of its rule,
// over lo and over a cable, also while two programs use up the processors.
func TestEveryPort(t *testing.T) {
	rejects, kind := kinds()
	s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0; policy drop;
		ct state related accept
		tcp dport { 22, 80, 1000-1999, 65535 } accept
		udp dport { 1, 53, 2000-2999 } accept
		tcp dport 2000-2999 reject with tcp reset
`+rejects+`	}
}
`)
	want := func(family sock.Family, protocol sweep.Protocol, port int) string {
		if outcome := kind[family][uint16(port)]; outcome != "" {
			return outcome
		}
		tcp := protocol == sweep.TCP
		switch {
		case tcp && (port == 22 || port == 80 || port >= 1000 && port <= 1999 || port == 65535),
			!tcp && (port == 1 || port == 53 || port >= 2000 && port <= 2999):
			return "accept"
		case tcp && port >= 2000 && port <= 2999:
			return "reject with tcp-reset"
		}
		return "drop"
	}
	compare := func(t *testing.T) {
		var sweeps []sweep.Sweep
		var of []sock.Family
		for _, zone := range []string{outside, stage.Machine} {
			for _, family := range s.Families() {
				for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
					sweeps, of = append(sweeps, every(s, zone, family, protocol)), append(of, family)
				}
			}
		}
		for i, runs := range ask(t, s, sweeps...) {
			port := 1
			for _, r := range runs {
				for ; port <= int(r.Last); port++ {
					if w := want(of[i], sweeps[i].Protocol, port); port < int(r.First) || r.String() != w {
						t.Fatalf("%s of %s, port %d: %+v, want %s", sweeps[i].Protocol, sweeps[i].To, port, r, w)
					}
				}
			}
			if port != 65536 {
				t.Errorf("ends at %d", port-1)
			}
		}
	}
	t.Run("alone", compare)
	t.Run("beside busy programs", func(t *testing.T) {
		var over atomic.Bool
		var hogs sync.WaitGroup
		for range 2 {
			hogs.Go(func() {
				for !over.Load() {
				}
			})
		}
		defer hogs.Wait()
		defer over.Store(true)
		compare(t)
	})
}

// What the output hook drops is refused to its sender; what it rejects is
// answered.
func TestOutput(t *testing.T) {
	s := set(t, `table inet f {
	chain out {
		type filter hook output priority 0;
		th dport 10-19 drop
		th dport 20 reject
		tcp dport 21 reject with tcp reset
	}
}
`)
	for _, family := range s.Families() {
		rejected := "reject with icmp port-unreachable"
		if family == sock.IPv6 {
			rejected = "reject with icmpv6 port-unreachable"
		}
		some := portset.Range{First: 9, Last: 22}
		got := ask(t, s, every(s, stage.Machine, family, sweep.TCP, some), every(s, stage.Machine, family, sweep.UDP, some), every(s, outside, family, sweep.TCP, some))
		expect(t, "tcp over lo", got[0], "9 accept, 10-19 drop on its way out, 20 "+rejected+", 21 reject with tcp-reset, 22 accept")
		expect(t, "udp over lo", got[1], "9 accept, 10-19 drop on its way out, 20 "+rejected+", 21-22 accept")
		expect(t, "tcp from outside", got[2], "9-22 accept")
	}
}

// A rule of the ingress hook drops before anything else.
func TestIngress(t *testing.T) {
	s := set(t, `table netdev f {
	chain in { type filter hook ingress device eth0 priority 0; udp dport 53 drop; }
	chain lo { type filter hook ingress device lo priority 0; tcp dport 80 drop; }
}
`)
	some := portset.Range{First: 52, Last: 81}
	for _, family := range s.Families() {
		got := ask(t, s, every(s, outside, family, sweep.UDP, some), every(s, outside, family, sweep.TCP, some),
			every(s, stage.Machine, family, sweep.UDP, some), every(s, stage.Machine, family, sweep.TCP, some))
		expect(t, "udp from outside", got[0], "52 accept, 53 drop, 54-81 accept")
		expect(t, "tcp from outside", got[1], "52-81 accept")
		expect(t, "udp over lo", got[2], "52-81 accept")
		expect(t, "tcp over lo", got[3], "52-79 accept, 80 drop, 81 accept")
	}
}

// More sweeps than one recording can tell apart.
func TestManySweeps(t *testing.T) {
	const count = 600
	s := set(t, `table ip f {
	chain in { type filter hook input priority 0; policy drop; tcp dport 1000-1299 accept; }
}
`)
	var sweeps []sweep.Sweep
	for i := range uint16(count) {
		sweeps = append(sweeps, every(s, outside, sock.IPv4, sweep.TCP, portset.Range{First: 1000 + i, Last: 1000 + i}))
	}
	got := ask(t, s, sweeps...)
	for i, runs := range got {
		want := fmt.Sprintf("%d accept", 1000+i)
		if i >= 300 {
			want = fmt.Sprintf("%d drop", 1000+i)
		}
		expect(t, fmt.Sprint("sweep ", i), runs, want)
	}
	if len(got) != count {
		t.Errorf("%d answers", len(got))
	}
}

// Every type of ICMP is told apart, those of neighbour discovery and multicast
// come with the hop limit that makes them valid, and none belongs to another.
func TestICMP(t *testing.T) {
	s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		ct state invalid drop
		icmp type { echo-request, timestamp-request } accept
		icmp type info-request reject with icmp host-prohibited
		icmpv6 type echo-request accept
		ip6 hoplimit 255 icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept
		ip6 hoplimit 1 icmpv6 type { mld-listener-query, mld-listener-report } accept
	}
}
`)
	four := "0-7 drop, 8 accept, 9-12 drop, 13 accept, 14 drop, 15 reject with icmp host-prohibited, 16-255 drop"
	six := "0-127 drop, 128 accept, 129 drop, 130-131 accept, 132 drop, 133-136 accept, 137-255 drop"
	for range 2 {
		for _, zone := range []string{outside, stage.Machine} {
			expect(t, "icmp from "+zone, ask(t, s, every(s, zone, sock.IPv4, sweep.ICMP))[0], four)
			if s.WithoutIPv6 == "" {
				expect(t, "icmpv6 from "+zone, ask(t, s, every(s, zone, sock.IPv6, sweep.ICMP))[0], six)
			}
		}
	}
}

// What is no question is refused before anything is sent.
func TestRefusedQuestions(t *testing.T) {
	four, six := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	machine := sweep.Machine{Zone: "machine"}
	for name, one := range map[string]sweep.Sweep{
		"protocol": {Zone: "machine", Source: four, To: four, Protocol: "sctp"},
		"family":   {Zone: "machine", Source: four, To: six, Protocol: sweep.TCP},
		"zone":     {Zone: "moon", Source: four, To: four, Protocol: sweep.TCP},
	} {
		if _, err := sweep.Ask(t.Context(), nil, machine, []sweep.Sweep{one}); err == nil {
			t.Errorf("%s: is asked", name)
		}
		if _, err := sweep.Trace(t.Context(), nil, machine, []sweep.Sweep{one}); err == nil {
			t.Errorf("%s: is traced", name)
		}
	}
}
