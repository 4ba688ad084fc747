package policy

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// elsewhere is a zone at an interface that no rule names.
const elsewhere = "elsewhere"

// openWhole opens a session that asks about more than a policy does: the machine
// has the addresses that rules compare with, and where rules name the interface
// of every zone there is one more zone.
func openWhole(ctx context.Context, p *Policy, rules *firewall.Rules) (*Session, error) {
	if name := unnamed(p, rules); name != "" {
		more := *p
		more.Zones = append(slices.Clone(p.Zones), Zone{Zone: stage.Zone{Name: elsewhere, Interface: name, Machine: stage.Defaults(len(p.Zones))}})
		p = &more
	}
	return Open(ctx, p, rules, some(ownable(p, rules.Ruleset), maxOwned)...)
}

// unnamed is a name for an interface that no rule knows; "" where a zone has one
// already.
func unnamed(p *Policy, rules *firewall.Rules) string {
	names, patterns := rules.Mentions(), rules.Patterns()
	known := func(name string) bool {
		return slices.Contains(names, name) || slices.ContainsFunc(patterns, func(beginning string) bool { return strings.HasPrefix(name, beginning) })
	}
	if slices.ContainsFunc(p.Zones, func(z Zone) bool { return !known(z.Interface) || z.Name == elsewhere }) {
		return ""
	}
	for n := range maxOwned {
		if name := "other" + strconv.Itoa(n); !known(name) {
			return name
		}
	}
	return ""
}

// tracePackets is how many packets are traced in one call to the sandbox, which
// has a minute.
const tracePackets = 40_000

// traceAll is Trace of any number of packets.
func (s *Session) traceAll(ctx context.Context, sweeps []sweep.Sweep) ([]sweep.Way, error) {
	var all []sweep.Way
	for first := 0; first < len(sweeps); {
		last, packets := first, 0
		for last < len(sweeps) && (last == first || packets+count(sweeps[last:last+1]) <= tracePackets) {
			packets += count(sweeps[last : last+1])
			last++
		}
		ways, err := s.Trace(ctx, sweeps[first:last])
		if err != nil {
			return nil, err
		}
		for _, way := range ways {
			way.Sweep += first
			all = append(all, way)
		}
		first = last
	}
	return all, nil
}

// meetsNth finds which packet of a burst is the first to meet a rule of the rules
// that are asked about; 0 where none does.
func (s *Session) meetsNth(ctx context.Context, one sweep.Sweep, id ruleset.RuleID) (uint16, error) {
	if err := s.Load(ctx, s.Rules.Ruleset); err != nil {
		return 0, err
	}
	ways, err := s.Trace(ctx, []sweep.Sweep{one})
	if err != nil {
		return 0, err
	}
	for _, way := range ways {
		if meets(way, []ruleset.RuleID{id}) {
			return way.Number, nil
		}
	}
	return 0, nil
}
