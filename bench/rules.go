package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// Rules is what the machine's own netfilter rules cost a round trip: measured in
// two private network namespaces, of which one has a copy of the rules. With them
// comes what they switch on, such as the tracking of connections.
type Rules struct {
	// Count is how many rules there are in tables that IPv4 packets over lo may meet.
	Count int         `json:"count"`
	Costs []RulesCost `json:"costs"`
	// Untried are parts of the rules that the copy lacks, or has otherwise.
	Untried []string `json:"untried,omitempty"`
	// Skipped says why nothing was measured; empty where it was.
	Skipped string `json:"skipped,omitempty"`
}

// RulesCost is the cost of one transport.
type RulesCost struct {
	Without Result `json:"without"`
	With    Result `json:"with"`
	// Adds is how much longer a round trip takes with the rules.
	Adds Difference `json:"adds"`
}

// RulesPlan says how the cost of rules is measured.
type RulesPlan struct {
	Placement topology.Placement // SameCore where it is empty: it wanders the least
	Restarts  int                // of each side; DefaultRulesRestarts where it is 0
	Window    time.Duration      // DefaultLadderWindow where it is 0
	Limit     time.Duration      // bounds the measuring; 0 does not
}

// DefaultRulesRestarts is from how many restarts a side a ratio of a few percent
// is worth being told.
const DefaultRulesRestarts = 30

// Zones of the sandbox.
const (
	bareZone  = "bare"
	rulesZone = "rules"
)

// MeasureRules measures what the machine's rules cost a round trip over raw TCP and
// UDP sockets, in turns with and without (Interleave). Nothing is sent on the
// machine itself. Where there are no rules, or they cannot be read or copied, the
// result says so and is no error. When the context ends it holds what there is so
// far.
func MeasureRules(ctx context.Context, plan RulesPlan) (Rules, error) {
	pairs, err := ladderPairs([]topology.Placement{cmp.Or(plan.Placement, topology.SameCore)})
	if err != nil {
		return Rules{}, err
	}
	rules, err := ruleset.Read(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return Rules{Skipped: "netfilter is Linux's own"}, nil
	case errors.As(err, new(*ruleset.PermissionError)):
		return Rules{Skipped: "reading the rules takes CAP_NET_ADMIN: run it as root"}, nil
	case err != nil:
		return Rules{}, err
	}
	return costOf(ctx, rules, rulesOrder{
		Pair: pairs[0], Restarts: cmp.Or(plan.Restarts, DefaultRulesRestarts), Window: cmp.Or(plan.Window, DefaultLadderWindow),
		Limit: plan.Limit,
	})
}

func costOf(ctx context.Context, rules *ruleset.Ruleset, o rulesOrder) (Rules, error) {
	r := Rules{Count: countRules(rules)}
	if r.Skipped = noneToMeet(rules); r.Skipped != "" {
		return r, nil
	}
	box, err := sandbox.Start(ctx, sandbox.Config{Zones: []string{bareZone, rulesZone}})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		r.Skipped = "a copy of the rules takes private namespaces: " + refused.How
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer box.Close()
	copied, err := ruleset.LoadInto(ctx, box, rulesZone, rules)
	if err != nil {
		if ctx.Err() == nil {
			r.Skipped, err = "a copy of the rules cannot be made: "+err.Error(), nil
		}
		return r, err
	}
	for _, left := range append(copied.Omitted, copied.Changed...) {
		r.Untried = append(r.Untried, left.String())
	}
	if err = r.measure(ctx, box, o); err != nil && ctx.Err() == nil {
		r.Skipped, err = "round trips through a copy of the rules fail: "+err.Error(), nil
	}
	return r, err
}

// noneToMeet says why packets over lo meet no rule; it is empty where they may.
func noneToMeet(rules *ruleset.Ruleset) string {
	if unread := rules.Legacy4.Unread; unread != "" && len(rules.Tables) == 0 {
		return "the rules of iptables-legacy cannot be read: " + unread
	}
	if rules.Empty() {
		return "this machine has no netfilter rules"
	}
	for _, h := range rules.Loopback() {
		if !h.Idle && h.Family != "ip6" {
			return ""
		}
	}
	return "this machine has no netfilter rules that IPv4 packets over lo meet"
}

func countRules(rules *ruleset.Ruleset) int {
	n := 0
	for t := range rules.All() {
		if !t.Dormant && (t.Family == "ip" || t.Family == "inet" || t.Family == "netdev") {
			n++
		}
	}
	for line := range strings.Lines(rules.Legacy4.Save) {
		if strings.HasPrefix(line, "-A ") {
			n++
		}
	}
	return n
}

// ruledTransports are those that are measured with and without rules.
var ruledTransports = []string{TCP, UDP}

// rulesOrder is what the sandbox is asked to measure.
type rulesOrder struct {
	Pair     topology.Pair `json:"pair"`
	Restarts int           `json:"restarts"`
	Window   time.Duration `json:"window"`
	Limit    time.Duration `json:"limit"`
}

// restartBound is what a restart may take beside its window at most: its warm-up
// and what may be lost on a machine that stands still.
const restartBound = maxWarmup + replyTimeout + lastLook

func (r *Rules) measure(ctx context.Context, box *sandbox.Sandbox, o rulesOrder) error {
	// The sandbox is a process of its own: no benchmark of this one may run beside.
	done, err := takeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	sides := 2 * len(ruledTransports)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(sides*o.Restarts)*(o.Window+restartBound))
	defer cancel()
	results, err := withAndWithout.Call(ctx, box, bareZone, o)
	if len(results) < sides {
		return err
	}
	for i := range ruledTransports {
		without, with := results[2*i], results[2*i+1]
		r.Costs = append(r.Costs, RulesCost{without, with, with.Over(without)})
	}
	return err
}

// withAndWithout measures, in a sandbox, each transport in the zone without rules
// and in the one with them.
var withAndWithout = sandbox.Register("bench/rules", func(ctx context.Context, in *sandbox.Inside, o rulesOrder) ([]Result, error) {
	b := &benchmarks{window: newWindow()}
	for _, transport := range ruledTransports {
		for _, zone := range []string{bareZone, rulesZone} {
			s := Spec{Transport: transport, Engine: Raw, Placement: o.Pair.Placement}.WithDefaults()
			b.add(s, o.Pair, open).place = func(f func() error) error {
				defer enoughProcessors()()
				// The sockets are of the namespace of the thread that opens them: the client's.
				return in.Do(zone, func() error {
					if err := stay(o.Pair.Client); err != nil {
						return err
					}
					return f()
				})
			}
		}
	}
	return b.measure(ctx, Plan{Restarts: o.Restarts, Window: o.Window, Limit: o.Limit})
})

// String says it in a sentence.
func (r Rules) String() string {
	if r.Skipped != "" {
		return r.Skipped
	}
	var lines []string
	for _, c := range r.Costs {
		lines = append(lines, r.tell(c))
	}
	return strings.Join(lines, "\n")
}

func (r Rules) tell(c RulesCost) string {
	transport := strings.ToUpper(c.With.Transport)
	rules := fmt.Sprintf("your %d rules", r.Count)
	if r.Count == 1 {
		rules = "your rule"
	}
	d := c.Adds
	us := func(ns float64) string { return fmt.Sprintf("%.2f", ns/1e3) }
	switch {
	case d.Rounds == 0:
		return fmt.Sprintf("what %s cost a %s round trip was not measured", rules, transport)
	case !d.known():
		return fmt.Sprintf("too few rounds to tell what %s cost a %s round trip: %d of the 6 it takes", rules, transport, d.Rounds)
	case d.Longer():
		verb := "cost"
		if r.Count == 1 {
			verb = "costs"
		}
		return fmt.Sprintf("%s %s %s µs (%.1f %%) of a %s round trip, 95 %% interval %s–%s µs (%.1f–%.1f %%)", rules, verb, us(d.NS), 100*(d.Ratio-1), transport,
			us(d.CI95.LowNS), us(d.CI95.HighNS), 100*(d.RatioLow-1), 100*(d.RatioHigh-1))
	}
	noise := max(d.CI95.HighNS-d.NS, d.NS-d.CI95.LowNS)
	if d.Shorter() {
		return fmt.Sprintf("a %s round trip is %s µs shorter with %s, 95 %% interval %s–%s µs: they cost nothing that can be seen", transport, us(-d.NS), rules, us(-d.CI95.HighNS), us(-d.CI95.LowNS))
	}
	return fmt.Sprintf("%s make no difference to a %s round trip beyond the noise of ±%s µs", rules, transport, us(noise))
}
