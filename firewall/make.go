package firewall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Options say what is mapped.
type Options struct {
	// From are the zones: Loopback, Outside, or the name of an interface. None
	// means all of those that the rules name and, if they are Live, that are
	// there.
	From []string
	// Uplink is the interface that leads outside. "" takes that of the machine's
	// default route for Live rules; for others the one that the rules name, where
	// one looks like it, and else eth0.
	Uplink string
	// Address are the machine's addresses at the uplink, with the length of the
	// network; where there are none they are the machine's own for Live rules,
	// and made up for others.
	Address []netip.Prefix
	// WithoutRules leaves out which rule decided, which takes most of the time.
	WithoutRules bool
}

// Make maps what rules do to packets for the machine.
func Make(ctx context.Context, r *Rules, o Options) (*Maps, error) {
	zones := zonesOf(r, o)
	from, err := from(r, o, zones)
	if err != nil {
		return nil, err
	}
	// What another machine is to receive, by NAT, has to get there.
	g, err := NewGround(ctx, r, stage.Config{Zones: zones, Forwards: true})
	if err != nil {
		return nil, err
	}
	m, err := r.mapOn(ctx, g, from, o)
	return m, errors.Join(err, g.Close())
}

// maker makes the maps of one ruleset.
type maker struct {
	rules  *Rules
	ground *Ground
	sweeps []sweep.Sweep
	maps   *Maps
	known  map[Rule]int
}

func (r *Rules) mapOn(ctx context.Context, g *Ground, from []string, o Options) (*Maps, error) {
	lone, counts := r.Lone()
	if err := g.Load(ctx, lone); err != nil {
		return nil, err
	}
	m := &maker{rules: r, ground: g, known: map[Rule]int{}, maps: &Maps{SchemaVersion: MapSchema, Source: r.Source, Rules: []Rule{}}}
	m.plan(from)
	m.note(counts)
	runs, err := g.Ask(ctx, m.sweeps)
	if err != nil {
		return nil, err
	}
	for i, its := range runs {
		for _, run := range its {
			m.maps.Maps[i].Ranges = append(m.maps.Maps[i].Ranges, Range{
				First: run.First, Last: run.Last, Verdict: run.Verdict, Local: run.Local, Landed: run.Landed, Rule: -1,
			})
		}
	}
	if !o.WithoutRules {
		if err := m.attribute(ctx); err != nil {
			return nil, err
		}
	}
	return m.maps, nil
}

// note says what is not asked as it is on a machine.
func (m *maker) note(counts bool) {
	note := func(format string, args ...any) { m.maps.Notes = append(m.maps.Notes, fmt.Sprintf(format, args...)) }
	if counts {
		note("each packet is asked about as if it came alone: limits are not reached, and no rule remembers one")
	}
	for _, rule := range m.rules.Copying {
		note("copies that rules send are left out: %s", rule.Text)
	}
	for _, rule := range m.rules.Chance() {
		note("decides by chance: %s", rule.Text)
	}
	if elsewhere := m.elsewhere(); len(elsewhere) > 0 {
		note("rules name destinations that no packet is sent to here, such as %s: a policy can give the machine or a zone that address", elsewhere[0])
	}
	for _, name := range m.rules.interfaces() {
		if m.rules.absent(name) && name != m.ground.Sweep.Cables[Outside].Far {
			note("the rules name %s, which this machine does not have: from there it is asked only on demand", name)
		}
	}
	for _, refusal := range m.ground.Untried() {
		note("%s", refusal)
	}
	if m.ground.WithoutIPv6 != "" {
		note("nothing is asked over IPv6: %s", m.ground.WithoutIPv6)
	}
}

// elsewhere are networks that the rules compare destinations with and of which
// neither the machine nor its loopback has an address.
func (m *maker) elsewhere() []netip.Addr {
	var list []netip.Addr
	for _, span := range m.rules.Addresses().Destinations {
		has := func(a netip.Addr) bool {
			return a.Is4() == span.First.Is4() && span.First.Compare(a) <= 0 && a.Compare(span.Last) <= 0
		}
		own := has(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || has(netip.IPv6Loopback()) || span.First.IsMulticast() || span.Last == netip.AddrFrom4([4]byte{255, 255, 255, 255})
		for _, place := range m.maps.Zones {
			own = own || slices.ContainsFunc(place.To, has)
		}
		if !own {
			list = append(list, span.First)
		}
	}
	return list
}

var everyPort = []portset.Range{{First: 1, Last: 65535}}

var protocolNumbers = map[sweep.Protocol]uint8{sweep.TCP: 6, sweep.UDP: 17}

// icmpTypes are all of them, with code 0.
var icmpTypes = []portset.Range{{First: 0, Last: 255}}

// FamilyName is how maps and policies name a family.
func FamilyName(f sock.Family) string {
	if f == sock.IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

// plan lists what is asked.
func (m *maker) plan(from []string) {
	for _, zone := range from {
		place := Place{Zone: zone, Interface: "lo"}
		sender := stage.Machine
		if zone != Loopback {
			sender = zone
			place.Interface = m.ground.Sweep.Cables[zone].Far
		}
		for _, family := range m.ground.Families() {
			source, to := m.ground.Host(sender, family), m.ground.Own(sender, family)
			if !source.IsValid() {
				continue
			}
			place.From, place.To = append(place.From, source), append(place.To, to)
		}
		m.maps.Zones = append(m.maps.Zones, place)
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP, sweep.ICMP} {
			for i, source := range place.From {
				ports := everyPort
				if protocol == sweep.ICMP {
					ports = icmpTypes
				}
				family := sock.IPv4
				if source.Is6() {
					family = sock.IPv6
				}
				m.sweeps = append(m.sweeps, sweep.Sweep{Zone: sender, Source: source, To: place.To[i], Protocol: protocol, Ports: ports})
				m.maps.Maps = append(m.maps.Maps, Map{Zone: zone, Protocol: string(protocol), Family: FamilyName(family)})
			}
		}
	}
}

// attribute finds which rule decided about each range, and parts ranges where
// that differs. Rules are asked at the edges of ranges, at every port that one of
// them compares with, and at the port after it, which stands for all up to the
// next one; between two ports that different rules decide about, the edge is
// searched for. Where a rule computes with ports none stands for another, and
// every one is asked.
func (m *maker) attribute(ctx context.Context) error {
	decided := make([]map[uint16]int, len(m.sweeps))
	wanted := make([][]uint16, len(m.sweeps))
	ports := m.rules.Ports()
	for i := range m.sweeps {
		decided[i] = map[uint16]int{}
		its := ports
		switch s := m.sweeps[i]; {
		case s.Protocol == sweep.ICMP:
			its = each(icmpTypes[0])
		case m.rules.OddFor(s.To.Is4(), protocolNumbers[s.Protocol]):
			its = each(everyPort[0])
		}
		wanted[i] = m.points(i, its)
	}
	for {
		asked, err := m.ask(ctx, wanted, decided)
		if err != nil {
			return err
		}
		if asked == 0 {
			break
		}
		for i := range wanted {
			wanted[i] = m.between(i, decided[i])
		}
	}
	for i := range m.maps.Maps {
		m.maps.Maps[i].Ranges = part(m.maps.Maps[i].Ranges, decided[i])
	}
	return nil
}

// points are the edges of ranges, and what the rules compare with.
func (m *maker) points(i int, ports []uint16) []uint16 {
	points := map[uint16]bool{}
	for _, r := range m.maps.Maps[i].Ranges {
		points[r.First], points[r.Last] = true, true
	}
	first, last := m.sweeps[i].Ports[0].First, m.sweeps[i].Ports[0].Last
	for _, port := range ports {
		for _, n := range []int{int(port), int(port) + 1} {
			if n >= int(first) && n <= int(last) {
				points[uint16(n)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(points))
}

// between are ports halfway between two of one range that different rules decide
// about.
func (m *maker) between(i int, decided map[uint16]int) []uint16 {
	var wanted []uint16
	known := slices.Sorted(maps.Keys(decided))
	for k := 1; k < len(known); k++ {
		a, b := known[k-1], known[k]
		its, _ := m.maps.Maps[i].At(a)
		if b-a > 1 && b <= its.Last && decided[a] != decided[b] {
			wanted = append(wanted, a+(b-a)/2)
		}
	}
	return wanted
}

// tracedAtOnce is how many packets one call traces: with many it would take
// longer than a sandbox waits, and each way takes up memory.
const tracedAtOnce = 8192

// ask traces packets to the wanted ports and notes which rule decided.
func (m *maker) ask(ctx context.Context, wanted [][]uint16, decided []map[uint16]int) (asked int, err error) {
	var sweeps []sweep.Sweep
	var of []int
	packets := 0
	trace := func() error {
		if packets == 0 {
			return nil
		}
		ways, err := m.ground.Trace(ctx, sweeps)
		if err != nil {
			return err
		}
		for _, way := range ways {
			rule := -1
			if step, found := way.Decision(); found {
				rule = m.index(step)
			}
			decided[of[way.Sweep]][way.Number] = rule
		}
		asked += packets
		sweeps, of, packets = nil, nil, 0
		return nil
	}
	for i, ports := range wanted {
		for len(ports) > 0 {
			n := min(len(ports), tracedAtOnce-packets)
			s := m.sweeps[i]
			s.Ports = ranges(ports[:n])
			sweeps, of = append(sweeps, s), append(of, i)
			packets += n
			if ports = ports[n:]; packets == tracedAtOnce {
				if err := trace(); err != nil {
					return asked, err
				}
			}
		}
	}
	err = trace()
	return asked, err
}

// index is the place of a rule among those of the maps.
func (m *maker) index(step sweep.Step) int {
	rule := m.rules.Rule(step)
	i, known := m.known[rule]
	if !known {
		i = len(m.maps.Rules)
		m.known[rule] = i
		m.maps.Rules = append(m.maps.Rules, rule)
	}
	return i
}

// each are the ports of a range.
func each(r portset.Range) []uint16 {
	ports := make([]uint16, r.Len())
	for i := range ports {
		ports[i] = r.First + uint16(i)
	}
	return ports
}

// ranges puts ascending ports together.
func ranges(ports []uint16) []portset.Range {
	var list []portset.Range
	for _, port := range ports {
		list = AppendPort(list, port)
	}
	return list
}

// AppendPort adds a port to ranges that end before it.
func AppendPort(list []portset.Range, port uint16) []portset.Range {
	if n := len(list); n > 0 && int(list[n-1].Last)+1 == int(port) {
		list[n-1].Last = port
		return list
	}
	return append(list, portset.Range{First: port, Last: port})
}

// part splits ranges where the rule that decided changes. What was not asked is
// as the port before it.
func part(list []Range, decided map[uint16]int) []Range {
	var parts []Range
	known := slices.Sorted(maps.Keys(decided))
	k := 0
	for _, r := range list {
		for ; k < len(known) && known[k] < r.First; k++ {
		}
		begin := r
		for ; k < len(known) && known[k] <= r.Last; k++ {
			rule := decided[known[k]]
			switch {
			case known[k] == r.First:
				begin.Rule = rule
			case rule != begin.Rule:
				ended := begin
				ended.Last = known[k] - 1
				parts = append(parts, ended)
				begin.First, begin.Rule = known[k], rule
			}
		}
		parts = append(parts, begin)
	}
	return parts
}
