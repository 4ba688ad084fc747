package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// burstPackets is how many packets come in a burst: more than most limits let
// through at once.
const burstPackets = 64

// counted is what becomes of packets that come in a row.
type counted struct {
	// bursts are one for each way that new packets take through the rules.
	bursts []burst
	// expected are how far the packets of questions about the nth come.
	expected map[int]reach
}

// burst is packets in a row.
type burst struct {
	sweep sweep.Sweep
	// counts says that they meet a rule that counts them.
	counts bool
	// reached is how far any of them comes.
	reached reach
	// runs are what becomes of them; nil until that is asked.
	runs []sweep.Run
}

// learnBursts finds which ways through the rules meet one that counts, and how
// far the packets of a burst come there: one that is over a limit meets rules
// that the first does not.
func (m *mutating) learnBursts(ctx context.Context, counting []ruleset.RuleID) error {
	m.expected = map[int]reach{}
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
	known := map[string]bool{}
	for i, way := range m.ways {
		b := burst{sweep: m.space[way.Sweep], counts: meets(way, counting), reached: m.reached[i]}
		key := fmt.Sprint(way.Steps)
		if b.sweep.State != sweep.New || known[key] {
			continue
		}
		known[key] = true
		b.sweep.Ports, b.sweep.Burst = []portset.Range{{First: way.Number, Last: way.Number}}, burstPackets
		if b.counts {
			if b.reached, err = m.reachOfBurst(ctx, b.sweep); err != nil {
				return err
			}
		}
		m.bursts = append(m.bursts, b)
	}
	return nil
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
	for _, way := range ways {
		for chain, place := range m.reachOf(way) {
			whole[chain] = max(whole[chain], place)
		}
	}
	return whole, nil
}

// countedBy are the bursts that a mutant, which is loaded as Counted has it, may
// answer otherwise: what it affects, and counts or did count.
func (m *mutating) countedBy(ctx context.Context, mutant ruleset.Mutant) ([]int, error) {
	var concerned, unclear []int
	var sweeps []sweep.Sweep
	for k, b := range m.bursts {
		switch {
		case !m.affects(mutant, b.reached):
		case b.counts:
			concerned = append(concerned, k)
		default:
			alone := b.sweep
			alone.Burst = 0
			sweeps, unclear = append(sweeps, alone), append(unclear, k)
		}
	}
	if len(sweeps) == 0 {
		return concerned, nil
	}
	ways, err := m.Trace(ctx, sweeps)
	if err != nil {
		return nil, err
	}
	_, counting := mutant.Ruleset().Counted()
	for _, way := range ways {
		if meets(way, counting) {
			concerned = append(concerned, unclear[way.Sweep])
		}
	}
	return concerned, nil
}

// compareBursts asks about packets in a row, and judges a mutant that answers
// everything alike.
func (m *mutating) compareBursts(ctx context.Context, mutant ruleset.Mutant, bursts []int, one *Mutant) (err error) {
	for _, k := range bursts {
		b := &m.bursts[k]
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
