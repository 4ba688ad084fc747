package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// burstPackets is how many packets come in a burst: more than most limits let
// through at once.
const burstPackets = 64

// counted is what becomes of packets that come in a row.
type counted struct {
	// bursts are one for each way that new packets take through the rules, past one
	// that counts.
	bursts []*burst
	// others are those that mutants have counted, by their first packet.
	others map[packetKey]*burst
	// expected are how far the packets of questions about the nth come.
	expected map[int]reach
	// counting are the rules that go by how many packets came before, true where
	// some packets of a burst met it and others did not.
	counting map[ruleset.RuleID]bool
}

// burst is packets in a row.
type burst struct {
	sweep sweep.Sweep
	// reached is how far any of them comes.
	reached reach
	// runs are what becomes of them; nil until that is asked.
	runs []sweep.Run
}

// learnBursts finds which ways through the rules meet one that counts, and how
// far the packets of a burst come there: one that is over a limit meets rules
// that the first does not.
func (m *mutating) learnBursts(ctx context.Context, counting []ruleset.RuleID) error {
	m.expected, m.counting = map[int]reach{}, map[ruleset.RuleID]bool{}
	for _, id := range counting {
		m.counting[id] = false
	}
	var err error
	for i, q := range m.asked.questions {
		if q.nth > 0 {
			if m.expected[i], err = m.reachOfBurst(ctx, q.sweep); err != nil {
				return err
			}
		}
	}
	if len(counting) == 0 {
		return nil
	}
	m.others = map[packetKey]*burst{}
	known := map[string]bool{}
	for _, way := range m.ways {
		key := fmt.Sprint(way.Steps)
		if m.space[way.Sweep].State != sweep.New || known[key] || !meets(way, counting) {
			continue
		}
		known[key] = true
		b := &burst{sweep: inARow(m.space[way.Sweep], way.Number)}
		if b.reached, err = m.reachOfBurst(ctx, b.sweep); err != nil {
			return err
		}
		m.bursts = append(m.bursts, b)
	}
	return nil
}

// packetKey names a packet of the space.
type packetKey struct {
	sweep  int
	number uint16
}

// inARow is a burst of one packet of a sweep.
func inARow(one sweep.Sweep, number uint16) sweep.Sweep {
	one.Ports, one.Burst = []portset.Range{{First: number, Last: number}}, burstPackets
	return one
}

// meets says that a packet meets one of some rules.
func meets(way sweep.Way, rules []ruleset.RuleID) bool {
	return slices.ContainsFunc(way.Steps, func(step sweep.Step) bool { return slices.Contains(rules, idOf(step)) })
}

// reachOfBurst is how far any packet of a burst comes in the rules themselves.
func (m *mutating) reachOfBurst(ctx context.Context, one sweep.Sweep) (reach, error) {
	if err := m.Load(ctx, m.Rules.Ruleset); err != nil {
		return nil, err
	}
	ways, err := m.Trace(ctx, []sweep.Sweep{one})
	if err != nil {
		return nil, err
	}
	whole := reach{}
	met := map[ruleset.RuleID]int{}
	for _, way := range ways {
		for chain, place := range m.reachOf(way) {
			whole[chain] = max(whole[chain], place)
		}
		for id := range m.counting {
			if meets(way, []ruleset.RuleID{id}) {
				met[id]++
			}
		}
	}
	for id, n := range met {
		if n < len(ways) {
			m.counting[id] = true
		}
	}
	return whole, nil
}

// unreached says which of some rules go by how many packets came before and were
// met by all packets of a burst, or none; "" where there is none.
func (m *mutating) unreached(rules *ruleset.Ruleset) string {
	for t, rule := range rules.All() {
		if reached, counts := m.counting[ruleset.RuleID{Family: t.Family, Table: t.Name, Handle: rule.Handle}]; counts && !reached {
			return fmt.Sprintf("%d new packets in a row do not reach what a rule counts: %s", burstPackets, rule.Text)
		}
	}
	return ""
}

// maxCounted is how many packets of a mutant are traced for what it counts.
const maxCounted = 4000

// countedBy are the bursts that a mutant, which is loaded as Counted has it, may
// answer otherwise: what it affects, and counts or did count. It says whether
// those are all.
func (m *mutating) countedBy(ctx context.Context, mutant ruleset.Mutant) (concerned []*burst, all bool, err error) {
	for _, b := range m.bursts {
		if m.affects(mutant, b.reached) {
			concerned = append(concerned, b)
		}
	}
	mutated, following := mutant.Ruleset(), m.Rules.Following(mutant)
	_, counting := mutated.Counted()
	counting = slices.DeleteFunc(counting, func(id ruleset.RuleID) bool {
		_, _, found := following.Find(id.Family, id.Table, id.Handle)
		return !found
	})
	if len(counting) == 0 {
		return concerned, true, nil
	}
	counts := portset.Of(mutated.Only(counting...).Bounds()...)
	var packets []int // their ways
	for i, way := range m.ways {
		one := m.space[way.Sweep]
		if one.State == sweep.New && (one.Protocol == sweep.ICMP || counts.Contains(way.Number)) && m.affects(mutant, m.reached[i]) {
			packets = append(packets, i)
		}
	}
	asked := some(packets, maxCounted)
	before := map[packetKey]string{}
	var sweeps []sweep.Sweep
	var of []int
	for _, i := range asked {
		way := m.ways[i]
		before[packetKey{way.Sweep, way.Number}] = fmt.Sprint(way.Steps)
		if n := len(of); n > 0 && of[n-1] == way.Sweep {
			sweeps[n-1].Ports = firewall.AppendPort(sweeps[n-1].Ports, way.Number)
			continue
		}
		one := m.space[way.Sweep]
		one.Ports = firewall.AppendPort(nil, way.Number)
		sweeps, of = append(sweeps, one), append(of, way.Sweep)
	}
	ways, err := m.traceAll(ctx, sweeps)
	if err != nil {
		return nil, false, err
	}
	known := map[string]bool{}
	for _, way := range ways {
		at := packetKey{of[way.Sweep], way.Number}
		key := before[at] + fmt.Sprint(way.Steps)
		if !meets(way, counting) || known[key] {
			continue
		}
		known[key] = true
		if m.others[at] == nil {
			m.others[at] = &burst{sweep: inARow(m.space[at.sweep], at.number)}
		}
		concerned = append(concerned, m.others[at])
	}
	return concerned, len(asked) == len(packets), nil
}

// compareBursts asks about packets in a row, and judges a mutant that answers
// everything alike.
func (m *mutating) compareBursts(ctx context.Context, mutant ruleset.Mutant, bursts []*burst, one *Mutant) (err error) {
	for _, b := range bursts {
		if b.runs == nil {
			if b.runs, err = m.burst(ctx, m.Rules.Ruleset, b.sweep); err != nil {
				return err
			}
		}
		runs, err := m.burst(ctx, mutant.Ruleset(), b.sweep)
		if err != nil {
			return err
		}
		if was, is, differs := difference(b.runs, runs); differs {
			m.survived(one, b.sweep, was, is, was.First)
			return nil
		}
	}
	if one.Why = m.uncertain(mutant); one.Why != "" {
		one.Fate = Survived
	} else {
		one.Fate = Equivalent
	}
	return nil
}
