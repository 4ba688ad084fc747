package firewall

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
)

const (
	// askedBySockets is how many ports of each map are asked by real sockets.
	askedBySockets = 40
	// askedByTrace is of how many ports of each map nft shows the way.
	askedByTrace = 10
	// oraclePatience bounds the wait for what nft prints.
	oraclePatience = time.Minute
)

// elsewhere is a zone whose packets cannot go back past the machine.
const elsewhere = "elsewhere"

// oracle answers by other means than a map: by a file that nft or
// iptables-restore loads, sockets, and what nft says of packets.
type oracle struct {
	*stage.Stage
	rules *Rules
	ported
}

func newOracle(t *testing.T, rules *Rules, file ruleset.File, p ported) *oracle {
	t.Helper()
	c := stage.Config{Zones: zonesOf(rules, Options{Uplink: "eth0"}), Forwards: true}
	beside := stage.Zone{Name: elsewhere, Interface: "elsewhere0"}
	for addr, zone := range p.containers {
		if zone == elsewhere {
			beside.Beyond = append(beside.Beyond, netip.PrefixFrom(netip.MustParseAddr(addr), 32))
		}
	}
	if len(beside.Beyond) > 0 {
		c.Zones = append(c.Zones, beside)
	}
	for _, name := range rules.interfaces() {
		if !slices.ContainsFunc(c.Zones, func(z stage.Zone) bool { return z.Interface == name }) {
			c.Interfaces = append(c.Interfaces, name)
		}
	}
	s, err := stage.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	file.Traced = true
	if err := ruleset.LoadFileInto(t.Context(), s.Sandbox, stage.Machine, file); err != nil {
		t.Fatal(err)
	}
	for addr, zone := range p.containers {
		at := netip.MustParseAddr(addr)
		if _, err := hosts.Call(t.Context(), s.Sandbox, zone, netip.PrefixFrom(at, at.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	return &oracle{s, rules, p}
}

// hosts gives a zone's host an address.
var hosts = sandbox.Register("firewall/oracle-hosts", func(ctx context.Context, _ *sandbox.Inside, addr netip.Prefix) (struct{}, error) {
	return struct{}{}, stage.AddAddress(ctx, "lo", addr)
})

// question is one about a port of a map.
func (o *oracle) question(m Map, its Range, port uint16) socketQuestion {
	zone, family := m.Zone, sock.IPv4
	if zone == Loopback {
		zone = stage.Machine
	}
	if m.Family == "ipv6" {
		family = sock.IPv6
	}
	q := socketQuestion{Zone: zone, Protocol: m.Protocol, To: netip.AddrPortFrom(o.Own(zone, family), port), Want: its.Verdict.String()}
	if its.Landed.IsValid() {
		q.Landed = []netip.AddrPort{its.Landed}
		if o.byChance(its.Outcome(), its.Outcome()) {
			q.Landed = nil
			for _, at := range o.chance {
				q.Landed = append(q.Landed, netip.MustParseAddrPort(at))
			}
		}
		q.LandedZone = o.containers[its.Landed.Addr().String()]
	}
	return q
}

// sockets asks some ports of each map, those of small ranges as often as those of
// large ones.
func (o *oracle) sockets(t *testing.T, r *rand.Rand, maps *Maps) {
	t.Helper()
	var asked []socketQuestion
	for _, m := range maps.Maps {
		if m.Protocol == "icmp" {
			continue
		}
		known := map[uint16]bool{}
		for range askedBySockets {
			its := m.Ranges[r.IntN(len(m.Ranges))]
			port := its.First + uint16(r.IntN(int(its.Last-its.First)+1))
			if !known[port] {
				asked = append(asked, o.question(m, its, port))
			}
			known[port] = true
		}
	}
	wrong, err := askSockets.Call(t.Context(), o.Sandbox, stage.Machine, asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range wrong {
		t.Error(text)
	}
	t.Logf("%d ports asked by sockets", len(asked))
}

// met is a base chain's decision about a packet, as nft prints it.
type met struct {
	Family, Table, Base, Chain string
	// Handle is the rule's; 0 for a policy.
	Handle uint64
	Accept bool
}

// traces compares the rule of some edges with what nft shows.
func (o *oracle) traces(t *testing.T, maps *Maps) {
	t.Helper()
	var asked []socketQuestion
	var ranges []Range
	for _, m := range maps.Maps {
		if m.Protocol == "icmp" {
			continue
		}
		type edge struct {
			port uint16
			its  Range
		}
		var edges []edge
		for _, its := range m.Ranges {
			edges = append(edges, edge{its.First, its})
			if its.Last != its.First {
				edges = append(edges, edge{its.Last, its})
			}
		}
		for i := range min(askedByTrace, len(edges)) {
			// Spread over the map.
			e := edges[i*len(edges)/min(askedByTrace, len(edges))]
			asked, ranges = append(asked, o.question(m, e.its, e.port)), append(ranges, e.its)
		}
	}
	ways, err := monitored.Call(t.Context(), o.Sandbox, stage.Machine, asked)
	if err != nil {
		t.Fatal(err)
	}
	nats := o.natChains()
	for i, way := range ways {
		got := "no rule on the way"
		if r := ranges[i].Rule; r >= 0 {
			rule := maps.Rules[r]
			got = fmt.Sprintf("%s %s %s handle %d", rule.Family, rule.Table, rule.Chain, rule.Handle)
		}
		want := decision(way, nats)
		chance := func(text string) bool { return o.chanceChains != nil && o.chanceChains.MatchString(text) }
		if got != want && !(chance(got) && chance(want)) {
			t.Errorf("%s to %s from %s: decided by %s, and nft shows %s of %v", asked[i].Protocol, asked[i].To, asked[i].Zone, got, want, way)
		}
	}
	t.Logf("%d ways compared", len(ways))
}

// natChains are those of the type nat. They come from the ruleset as this package
// reads it: what nft prints of a trace does not tell.
func (o *oracle) natChains() map[string]bool {
	nats := map[string]bool{}
	for _, table := range o.rules.Tables {
		for _, c := range table.Chains {
			if c.Base != nil && c.Base.Type == "nat" {
				nats[table.Family+" "+table.Name+" "+c.Name] = true
			}
		}
	}
	return nats
}

// decision is the rule that dropped a packet; or the last that accepted it in a
// chain that filters, or else in one that translates; or else a policy in the
// same order.
func decision(way []met, nats map[string]bool) string {
	var found [4]string
	for _, m := range way {
		text := fmt.Sprintf("%s %s %s handle %d", m.Family, m.Table, m.Chain, m.Handle)
		if !m.Accept {
			return text
		}
		order := 0
		if m.Handle == 0 {
			order += 2
		}
		if nats[m.Family+" "+m.Table+" "+m.Base] {
			order++
		}
		found[order] = text
	}
	for _, text := range found {
		if text != "" {
			return text
		}
	}
	return "no rule on the way"
}
