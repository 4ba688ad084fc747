package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// Outcome is what came of one expectation, or of one default.
type Outcome struct {
	// Name says what was expected, and Line where.
	Name string `json:"name"`
	Line int    `json:"line"`
	// Expected is the verdict, as the file has it, and where it arrives.
	Expected string `json:"expected"`
	// Asked is how many packets were.
	Asked int `json:"asked"`
	// Packets says which, a text for each pair of addresses and protocol.
	Packets []string `json:"packets,omitempty"`
	// Skipped says why it could not be asked; "" where it was.
	Skipped string `json:"skipped,omitempty"`
	// Breaches are the packets that got another verdict; none where it holds.
	Breaches []Breach `json:"breaches,omitempty"`
}

// Breach is packets that got another verdict than expected, by one rule.
type Breach struct {
	From     string     `json:"from"`
	Source   netip.Addr `json:"source"`
	To       netip.Addr `json:"to"`
	Protocol string     `json:"protocol"`
	State    string     `json:"state,omitempty"`
	// First and Last are ports, or types of icmp.
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	// Nth is which packet of a burst it was.
	Nth    uint16          `json:"nth,omitempty"`
	Actual verdict.Verdict `json:"actual"`
	// Landed is where an accepted packet came to, if not where it was sent.
	Landed netip.AddrPort `json:"landed,omitzero"`
	// Original is where a program that the packets came to is told that they
	// were sent, where that is not To and the port.
	Original netip.AddrPort `json:"original,omitzero"`
	// Rule decided about the first of them; nil where none was on the way.
	Rule *firewall.Rule `json:"rule,omitempty"`
}

// Verdict is what became of them.
func (b Breach) Verdict() string {
	if b.Original.IsValid() {
		return fmt.Sprintf("%s, where the original destination is said to be %s", b.Landed, b.Original)
	}
	return firewall.Range{Verdict: b.Actual, Landed: b.Landed}.Outcome()
}

// Result is what came of a policy.
type Result struct {
	Policy   string    `json:"policy"`
	Outcomes []Outcome `json:"outcomes"`
	Notes    []string  `json:"notes,omitempty"`
}

// Broken is how many expectations do not hold.
func (r *Result) Broken() (n int) {
	for _, o := range r.Outcomes {
		if len(o.Breaches) > 0 {
			n++
		}
	}
	return n
}

// Session is a policy's rules on a ground, to be asked about its expectations.
type Session struct {
	Policy *Policy
	Rules  *firewall.Rules
	*firewall.Ground
	// owned are the machine's addresses beside those of the zones.
	owned []netip.Addr
	// edges are the ports that rules can tell from their neighbours, and those
	// next to them.
	edges []portset.Range
	// places are those of the rules in their chains.
	places map[ruleset.RuleID]int
}

// Open sets the ground for a policy's rules, with some addresses that the machine
// has beside those of the zones.
func Open(ctx context.Context, p *Policy, rules *firewall.Rules, own ...netip.Addr) (*Session, error) {
	c := stage.Config{Own: slices.Concat(own, p.owned()), Forwards: p.forwards()}
	slices.SortFunc(c.Own, netip.Addr.Compare)
	c.Own = slices.Compact(c.Own)
	for _, z := range p.Zones {
		c.Zones = append(c.Zones, z.Zone)
	}
	g, err := firewall.NewGround(ctx, rules, c)
	if err != nil {
		return nil, err
	}
	return &Session{p, rules, g, own, around(rules.Ports()), placesOf(rules.Ruleset)}, nil
}

// forwards says that the machine is a router: something goes from one zone to
// another, or arrives elsewhere.
func (p *Policy) forwards() bool {
	for _, e := range p.Expectations {
		if e.From != firewall.Loopback && (e.To != Machine || e.Arrives.IsValid()) {
			return true
		}
	}
	return slices.ContainsFunc(p.Defaults, func(d Default) bool { return d.From != firewall.Loopback && d.To != Machine })
}

// Check asks about every expectation and default of a policy.
func Check(ctx context.Context, p *Policy, rules *firewall.Rules) (*Result, error) {
	s, err := Open(ctx, p, rules)
	if err != nil {
		return nil, err
	}
	r, err := s.check(ctx, rules.Ruleset, s.questions())
	if err == nil {
		r.tellPackets()
		err = s.explain(ctx, r, rules.Ruleset)
	}
	return r.result(s), errors.Join(err, s.Close())
}

// question is one sweep of an expectation.
type question struct {
	outcome int
	sweep   sweep.Sweep
	wanted  Wanted
	nth     uint16
	arrives netip.AddrPort
	from    string
}

// checked is what came of a policy, with the questions behind it.
type checked struct {
	outcomes  []Outcome
	questions []question
	// of are the question of each breach, in the order of outcomes.
	of map[int][]int
}

func (c *checked) result(s *Session) *Result {
	if c == nil {
		return nil
	}
	return &Result{Policy: s.Policy.Path, Outcomes: c.outcomes, Notes: s.notes()}
}

// notes say what is not asked as it is on a machine, once rules are loaded.
func (s *Session) notes() []string {
	var notes []string
	for _, refusal := range s.Untried() {
		notes = append(notes, refusal.String())
	}
	if s.WithoutIPv6 != "" {
		notes = append(notes, "nothing is asked over IPv6: "+s.WithoutIPv6)
	}
	for _, rule := range s.Rules.Copying {
		notes = append(notes, "copies that rules send are left out: "+rule.Text)
	}
	for _, rule := range s.Rules.Chance() {
		notes = append(notes, "decides by chance: "+rule.Text)
	}
	return notes
}

// check asks all questions about a ruleset, which may be a mutant of the
// policy's own.
func (s *Session) check(ctx context.Context, rules *ruleset.Ruleset, c *checked) (*checked, error) {
	if err := s.askLone(ctx, rules, c); err != nil {
		return nil, err
	}
	if err := s.askArrivals(ctx, c); err != nil {
		return nil, err
	}
	for i, q := range c.questions {
		if q.nth == 0 {
			continue
		}
		if err := s.askBurst(ctx, rules, c, i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// askArrivals connects to each port whose packets are to arrive elsewhere, as
// long as that comes from a zone's own address, and asks the program there where
// the connection was sent.
func (s *Session) askArrivals(ctx context.Context, c *checked) error {
	stopped := false
	for i, q := range c.questions {
		zone := q.sweep.Zone
		if !q.arrives.IsValid() || q.sweep.Protocol != sweep.TCP || q.sweep.State != sweep.New || q.nth > 0 ||
			len(c.outcomes[q.outcome].Breaches) > 0 || q.sweep.Source != s.Host(zone, familyOf(q.sweep.Source)) {
			continue
		}
		if !stopped {
			if err := sweep.Stop(ctx, s.Sandbox, s.Sweep); err != nil {
				return err
			}
			stopped = true
		}
		to := netip.AddrPortFrom(q.sweep.To, q.sweep.Ports[0].First)
		a, err := s.Arrive(ctx, zone, to, q.arrives)
		if err != nil {
			return err
		}
		if a.Accepted && a.Original.IsValid() && a.Original != to {
			o := &c.outcomes[q.outcome]
			o.Breaches = append(o.Breaches, Breach{
				From: q.from, Source: q.sweep.Source, To: q.sweep.To, Protocol: string(q.sweep.Protocol), State: string(q.sweep.State),
				First: to.Port(), Last: to.Port(), Actual: verdict.Verdict{Action: verdict.Accept}, Landed: q.arrives, Original: a.Original,
			})
			c.of[q.outcome] = append(c.of[q.outcome], i)
		}
	}
	return nil
}

func familyOf(a netip.Addr) sock.Family {
	if a.Is6() {
		return sock.IPv6
	}
	return sock.IPv4
}

// askLone asks about packets that come alone. The rules are loaded as Counted has
// them.
func (s *Session) askLone(ctx context.Context, rules *ruleset.Ruleset, c *checked) error {
	lone, _ := rules.Counted()
	if err := s.Load(ctx, lone); err != nil {
		return err
	}
	var sweeps []sweep.Sweep
	var of []int
	for i, q := range c.questions {
		if q.nth == 0 {
			sweeps, of = append(sweeps, q.sweep), append(of, i)
		}
	}
	runs, err := s.Ask(ctx, sweeps)
	if err != nil {
		return err
	}
	for i, its := range runs {
		for _, run := range its {
			c.hold(of[i], run)
		}
	}
	return nil
}

// askBurst asks about the nth packet of one question. Each burst meets rules that
// have counted nothing.
func (s *Session) askBurst(ctx context.Context, rules *ruleset.Ruleset, c *checked, i int) error {
	q := c.questions[i]
	runs, err := s.burst(ctx, rules, q.sweep)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.First <= q.nth && q.nth <= run.Last {
			run.First, run.Last = q.sweep.Ports[0].First, q.sweep.Ports[0].First
			c.hold(i, run)
		}
	}
	return nil
}

// burst asks about packets in a row, of rules that have counted nothing.
func (s *Session) burst(ctx context.Context, rules *ruleset.Ruleset, one sweep.Sweep) ([]sweep.Run, error) {
	if err := s.Load(ctx, rules); err != nil {
		return nil, err
	}
	runs, err := s.Ask(ctx, []sweep.Sweep{one})
	if err != nil {
		return nil, err
	}
	return runs[0], nil
}

// hold compares a run with what is wanted.
func (c *checked) hold(i int, run sweep.Run) {
	q := c.questions[i]
	o := &c.outcomes[q.outcome]
	o.Asked += int(run.Last) - int(run.First) + 1
	arrives := !q.arrives.IsValid() || q.arrivesAt(run)
	if q.wanted.Fulfilled(run.Verdict) && arrives {
		return
	}
	breach := q.breach()
	breach.First, breach.Last, breach.Actual, breach.Landed = run.First, run.Last, run.Verdict, run.Landed
	o.Breaches = append(o.Breaches, breach)
	c.of[q.outcome] = append(c.of[q.outcome], i)
}

// arrivesAt says whether the packets of a run came to where they should.
func (q question) arrivesAt(run sweep.Run) bool {
	landed := run.Landed
	switch {
	case !landed.IsValid():
		landed = netip.AddrPortFrom(q.sweep.To, run.First)
	case landed.Port() == 0:
		landed = netip.AddrPortFrom(landed.Addr(), run.First)
	}
	return landed == q.arrives
}

// explain finds the rule that decided about the first packet of each breach.
func (s *Session) explain(ctx context.Context, c *checked, rules *ruleset.Ruleset) error {
	type place struct{ outcome, breach int }
	var sweeps []sweep.Sweep
	var places []place
	var bursts []place
	for i := range c.outcomes {
		for k, b := range c.outcomes[i].Breaches {
			q := c.questions[c.of[i][k]]
			if q.nth > 0 {
				bursts = append(bursts, place{i, k})
				continue
			}
			one := q.sweep
			one.Ports = []portset.Range{{First: b.First, Last: b.First}}
			sweeps, places = append(sweeps, one), append(places, place{i, k})
		}
	}
	if len(sweeps) > 0 {
		lone, _ := rules.Lone()
		if err := s.Load(ctx, lone); err != nil {
			return err
		}
		ways, err := s.Trace(ctx, sweeps)
		if err != nil {
			return err
		}
		for _, way := range ways {
			p := places[way.Sweep]
			c.outcomes[p.outcome].Breaches[p.breach].Rule = s.decided(way)
		}
	}
	for _, p := range bursts {
		q := c.questions[c.of[p.outcome][p.breach]]
		if err := s.Load(ctx, rules); err != nil {
			return err
		}
		ways, err := s.Trace(ctx, []sweep.Sweep{q.sweep})
		if err != nil {
			return err
		}
		for _, way := range ways {
			if way.Number == q.nth {
				c.outcomes[p.outcome].Breaches[p.breach].Rule = s.decided(way)
			}
		}
	}
	return nil
}

func (s *Session) decided(way sweep.Way) *firewall.Rule {
	step, found := way.Decision()
	if !found {
		return nil
	}
	return new(s.Rules.Rule(step))
}
