package stage

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

func start(t *testing.T, c Config, rules string) *Stage {
	t.Helper()
	s, err := Start(t.Context(), c)
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	err = ruleset.LoadFileInto(t.Context(), s.Sandbox, Machine, ruleset.File{Name: "rules", Text: rules})
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		t.Skip(missing.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var two = Config{
	Zones:      []Zone{{Name: "outside", Interface: "ens3"}, {Name: "lan", Interface: "lan0", Machine: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}},
	Interfaces: []string{"docker0"},
	Forwards:   true,
}

// Rules that drop neighbour discovery hide nothing else, every reject arrives,
// and what comes from one zone is forwarded to another.
func TestZones(t *testing.T) {
	s := start(t, two, `table inet f {
	chain input {
		type filter hook input priority 0; policy drop;
		iifname "ens3" tcp dport 22 accept
		iif "lan0" udp dport 53 reject with icmp admin-prohibited
		iif "docker0" accept
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		iifname "lan0" oifname "ens3" tcp dport 443 accept
	}
}
`)
	outside := netip.MustParseAddr("20.20.20.2")
	if got := s.Host("outside", sock.IPv4); got != outside {
		t.Errorf("the host outside is %s", got)
	}
	var sweeps []sweep.Sweep
	var want []string
	ask := func(zone string, from, to netip.Addr, p sweep.Protocol, port uint16, verdict string) {
		sweeps = append(sweeps, sweep.Sweep{Zone: zone, Source: from, To: to, Protocol: p, Ports: []portset.Range{{First: port, Last: port}}})
		want = append(want, verdict)
	}
	for _, family := range s.Families() {
		ask("outside", s.Host("outside", family), s.Own("outside", family), sweep.TCP, 22, "accept")
		ask("outside", s.Host("outside", family), s.Own("outside", family), sweep.TCP, 23, "drop")
	}
	ask("lan", s.Host("lan", sock.IPv4), s.Own("lan", sock.IPv4), sweep.UDP, 53, "reject with icmp admin-prohibited")
	ask("lan", s.Host("lan", sock.IPv4), outside, sweep.TCP, 443, "accept")
	ask("lan", s.Host("lan", sock.IPv4), outside, sweep.TCP, 80, "drop")
	ask("outside", netip.MustParseAddr("9.9.9.9"), s.Own("outside", sock.IPv4), sweep.TCP, 22, "accept")
	ask(Machine, s.Own(Machine, sock.IPv4), s.Own(Machine, sock.IPv4), sweep.TCP, 22, "drop")
	ask(Machine, s.Own("outside", sock.IPv4), outside, sweep.TCP, 80, "accept")
	runs, err := sweep.Ask(t.Context(), s.Sandbox, s.Sweep, sweeps)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range runs {
		if len(one) != 1 || one[0].String() != want[i] {
			t.Errorf("%s %s from %s to %s: %v, not %s", sweeps[i].Protocol, sweeps[i].Ports[0], sweeps[i].Source, sweeps[i].To, one, want[i])
		}
	}
	// All of many rejects arrive.
	runs, err = sweep.Ask(t.Context(), s.Sandbox, s.Sweep, slices.Repeat(sweeps[len(s.Families())*2:len(s.Families())*2+1], 200))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range runs {
		if one[0].String() != "reject with icmp admin-prohibited" {
			t.Fatalf("one of 200 rejects is %v", one)
		}
	}
}

func TestWhatCannotBe(t *testing.T) {
	for name, c := range map[string]Config{
		"two of one name": {Zones: []Zone{{Name: "a", Interface: "x"}, {Name: "a", Interface: "y"}}},
		"one interface":   {Zones: []Zone{{Name: "a", Interface: "x"}, {Name: "b", Interface: "x"}}},
		"no interface":    {Zones: []Zone{{Name: "a"}}},
		"lo":              {Zones: []Zone{{Name: "a", Interface: "lo"}}},
		"the machine's":   {Zones: []Zone{{Name: Machine, Interface: "x"}}},
		"too long a name": {Interfaces: []string{"sixteen-letters-"}},
	} {
		if s, err := Start(context.Background(), c); err == nil {
			_ = s.Close()
			t.Errorf("%s: is set", name)
		}
	}
}
