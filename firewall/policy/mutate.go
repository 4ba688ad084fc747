package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Mutations says which small mistakes in the rules a policy would notice.
type Mutations struct {
	Policy  string   `json:"policy"`
	Mutants []Mutant `json:"mutants"`
	// Score is the share of mutants that were killed, of those that are not
	// equivalent; 1 where there are none.
	Score float64  `json:"score"`
	Notes []string `json:"notes,omitempty"`
}

// Fate is what became of a mutant.
type Fate string

const (
	// Killed: an expectation does not hold any more.
	Killed Fate = "killed"
	// Survived: every expectation holds, and something is answered otherwise, or
	// may be.
	Survived Fate = "survived"
	// Equivalent: every packet that rules can tell apart is answered as before.
	Equivalent Fate = "equivalent"
	// Refused: the kernel does not take it, so that nobody can make the mistake.
	Refused Fate = "refused"
)

// Mutant is one mistake, and what became of it.
type Mutant struct {
	Mutation ruleset.Mutation `json:"mutation"`
	Rule     firewall.Rule    `json:"rule"`
	Change   string           `json:"change"`
	Fate     Fate             `json:"fate"`
	// KilledBy is the first expectation that does not hold.
	KilledBy *Named `json:"killed_by,omitempty"`
	// Difference is a packet that is answered otherwise.
	Difference string `json:"difference,omitempty"`
	// Suggestion is the expectation that would kill it, to be pasted.
	Suggestion string `json:"suggestion,omitempty"`
	Why        string `json:"why,omitempty"`
}

// Of is how many mutants have a fate.
func (m *Mutations) Of(fate Fate) (n int) {
	for _, one := range m.Mutants {
		if one.Fate == fate {
			n++
		}
	}
	return n
}

// BrokenError says that a policy does not hold before anything is mutated.
type BrokenError struct{ Outcome Outcome }

func (e *BrokenError) Error() string {
	return fmt.Sprintf("line %d, %s, does not hold: mend the rules or the policy first", e.Outcome.Line, e.Outcome.Name)
}

// Mutate makes small mistakes in the rules of a policy, one at a time, and finds
// which of them the policy notices. The progress, which may be nil, is told before
// the first and after each.
func Mutate(ctx context.Context, p *Policy, rules *firewall.Rules, progress func(done, all int)) (*Mutations, error) {
	s, err := openWhole(ctx, p, rules)
	if err != nil {
		return nil, err
	}
	m, err := s.mutate(ctx, progress)
	return m, errors.Join(err, s.Close())
}

// mutating is a session with what the rules themselves answer.
type mutating struct {
	*Session
	// asked are the policy's questions.
	asked *checked
	// space is asked of mutants, leftOut is what is not, and answers are what the
	// rules say.
	space   []sweep.Sweep
	leftOut int
	answers [][]sweep.Run
	// ways are what packets of the space meet, and reached how far each comes.
	ways    []sweep.Way
	reached []reach
	counted
}

func (s *Session) mutate(ctx context.Context, progress func(done, all int)) (*Mutations, error) {
	c, err := s.check(ctx, s.Rules.Ruleset, s.questions())
	if err != nil {
		return nil, err
	}
	for _, o := range c.outcomes {
		if len(o.Breaches) > 0 {
			return nil, &BrokenError{o}
		}
	}
	mutants, notes := s.Rules.Mutants()
	if progress != nil {
		progress(0, len(mutants))
	}
	m := &mutating{Session: s, asked: s.fewer()}
	m.space, m.leftOut = s.space()
	if err := m.learn(ctx); err != nil {
		return nil, err
	}
	result := &Mutations{Policy: s.Policy.Path, Mutants: []Mutant{}, Notes: append(s.notes(), notes...)}
	for i, mutant := range mutants {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		one, err := m.try(ctx, mutant)
		if err != nil {
			return nil, err
		}
		result.Mutants = append(result.Mutants, one)
		if progress != nil {
			progress(i+1, len(mutants))
		}
	}
	result.Score = 1
	if judged := result.Of(Killed) + result.Of(Survived); judged > 0 {
		result.Score = float64(result.Of(Killed)) / float64(judged)
	}
	return result, nil
}

// learn asks the rules themselves.
func (m *mutating) learn(ctx context.Context) (err error) {
	counted, counting := m.Rules.Counted()
	if err := m.Load(ctx, counted); err != nil {
		return err
	}
	if m.answers, err = m.Ask(ctx, m.space); err != nil {
		return err
	}
	if m.ways, err = m.traceAll(ctx, m.space); err != nil {
		return err
	}
	m.reached = make([]reach, len(m.ways))
	for i, way := range m.ways {
		m.reached[i] = m.reachOf(way)
	}
	return m.learnBursts(ctx, counting)
}

// try finds what becomes of one mutant.
func (m *mutating) try(ctx context.Context, mutant ruleset.Mutant) (Mutant, error) {
	one := Mutant{Mutation: mutant.Mutation, Change: mutant.Change, Rule: m.Rules.Rule(sweep.Step{
		Family: mutant.Family, Table: mutant.Table, Chain: mutant.Chain, Handle: mutant.Handle,
	})}
	if mutant.Handle == 0 && mutant.Mutation != ruleset.FlipPolicy {
		one.Rule.Text = "set " + mutant.Chain
	} else if mutant.Handle == 0 {
		one.Rule.Text = strings.TrimSuffix(mutant.Change, " becomes accept")
		one.Rule.Text = strings.TrimSuffix(one.Rule.Text, " becomes drop")
	}
	c := m.asked.again()
	err := m.askLone(ctx, mutant.Ruleset(), c)
	if refused, ok := errors.AsType[*ruleset.RefusedError](err); ok {
		one.Fate, one.Why = Refused, refused.Error()
		return one, nil
	}
	if err != nil || one.killed(c) {
		return one, err
	}
	// What it answers is noted while it is loaded; an expectation about several
	// packets may still kill it.
	if err := m.compare(ctx, mutant, &one); err != nil {
		return one, err
	}
	var bursts []*burst
	all := true
	if one.Fate == "" {
		if bursts, all, err = m.countedBy(ctx, mutant); err != nil {
			return one, err
		}
	}
	for i, q := range c.questions {
		if q.nth > 0 && m.affects(mutant, m.expected[i]) {
			if err := m.askBurst(ctx, mutant.Ruleset(), c, i); err != nil || one.killed(c) {
				return one, err
			}
		}
	}
	if one.Fate == "" {
		err = m.compareBursts(ctx, mutant, bursts, &one)
	}
	if one.Fate == Equivalent && !all {
		one.Fate, one.Why = Survived, "no packet that was tried is answered otherwise, but not all that the rules may count were sent in a row"
	}
	return one, err
}

// again are the same questions, without what came of them.
func (c *checked) again() *checked {
	return &checked{outcomes: slices.Clone(c.outcomes), questions: c.questions, of: map[int][]int{}}
}

// killed takes the first expectation that does not hold.
func (m *Mutant) killed(c *checked) bool {
	for _, o := range c.outcomes {
		if len(o.Breaches) > 0 {
			m.Fate, m.KilledBy, m.Suggestion = Killed, &Named{o.Name, o.Line}, ""
			m.Difference = o.Breaches[0].Packet() + ": " + o.Breaches[0].Verdict()
			return true
		}
	}
	return false
}

// compare asks a mutant that is loaded about everything that it may answer
// otherwise.
func (m *mutating) compare(ctx context.Context, mutant ruleset.Mutant, one *Mutant) error {
	sweeps, of := m.affected(mutant)
	if len(sweeps) == 0 {
		return nil
	}
	answers, err := m.Ask(ctx, sweeps)
	if err != nil {
		return err
	}
	for k, runs := range answers {
		if was, is, differs := difference(m.answers[of[k]], runs); differs {
			m.survived(one, sweeps[k], was, is, 0)
			return nil
		}
	}
	return nil
}

// uncertain says why a mutant that answers everything alike may yet differ; ""
// where it cannot.
func (m *mutating) uncertain(mutant ruleset.Mutant) string {
	const alike = "no packet that was tried is answered otherwise, but "
	odd, chance, following := m.Rules.OddPorts(), m.Rules.Chance(), m.Rules.Following(mutant)
	missing, beyond := m.missing(m.Rules.About(mutant)), following.Beyond()
	switch {
	case len(odd) > 0:
		return alike + "a rule computes with ports: " + odd[0].Text
	case len(chance) > 0:
		return "a rule decides by chance, so that nothing is certain: " + chance[0].Text
	case mutant.Mutation == ruleset.ShiftLimit:
		return "packets in a row are answered alike; a rate shows over a longer time only"
	case missing != "":
		return alike + missing
	case len(beyond) > 0:
		return alike + differNot(beyond)
	case m.unreached(following) != "":
		return alike + m.unreached(following)
	case m.leftOut > 0:
		return fmt.Sprintf("%s%d combinations of addresses and source ports around those that rules compare with were not tried", alike, m.leftOut)
	}
	return ""
}

// survived notes a packet that tells the mutant from the rules.
func (m *mutating) survived(one *Mutant, s sweep.Sweep, was, is sweep.Run, nth uint16) {
	one.Fate = Survived
	b := Breach{From: s.Zone, Source: s.Source, To: s.To, Protocol: string(s.Protocol), State: string(s.State), First: is.First, Last: is.First, Nth: nth, Actual: is.Verdict, Landed: is.Landed}
	if nth > 0 {
		b.First, b.Last = s.Ports[0].First, s.Ports[0].First
	}
	if b.From == Machine {
		b.From = firewall.Loopback
	}
	one.Difference = fmt.Sprintf("%s: %s, by the rules %s", b.Packet(), b.Verdict(), firewall.Range{Verdict: was.Verdict, Landed: was.Landed}.Outcome())
	one.Suggestion = m.expectationYAML(s, was, nth)
}

// difference is the first number at which two answers to a sweep differ, of those
// that the second is about.
func difference(was, is []sweep.Run) (before, after sweep.Run, differs bool) {
	i := 0
	for _, b := range is {
		for i > 0 && was[i].First > b.First {
			i--
		}
		for ; i < len(was) && was[i].First <= b.Last; i++ {
			a := was[i]
			if a.Last < b.First || a.Verdict == b.Verdict && a.Landed == b.Landed {
				continue
			}
			number := max(a.First, b.First)
			a.First, b.First = number, number
			return a, b, true
		}
		i = min(i, len(was)-1)
	}
	return sweep.Run{}, sweep.Run{}, false
}
