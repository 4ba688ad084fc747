package sweep

import (
	"context"
	"fmt"

	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// Step is a rule that a packet met, or a chain's policy.
type Step struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	// Base is the chain that the hook led to, Chain the one of the rule.
	Base  string `json:"base"`
	Chain string `json:"chain"`
	// Handle is the rule's; 0 for a policy.
	Handle  uint64          `json:"handle,omitempty"`
	Verdict nftrace.Verdict `json:"verdict"`
}

// Way is what one packet met.
type Way struct {
	// Sweep is the place of its sweep among those asked about, and Number its
	// port, its ICMP type, or its place in a burst.
	Sweep  int    `json:"sweep"`
	Number uint16 `json:"number"`
	// Steps are the rules that matched it, and the policies that decided, in
	// order. A reject shows as a drop by its rule.
	Steps []Step `json:"steps,omitempty"`
}

// Decision is the step that decided about the packet: that which dropped it,
// or, of those that accepted it, the last rule, and where there is none the last
// policy. None was met where no base chain is on its way.
func (w Way) Decision() (Step, bool) {
	var rule, policy *Step
	for i, step := range w.Steps {
		switch {
		case !step.Verdict.Final():
		case step.Verdict.Code != nftrace.Accept:
			return step, true
		case step.Handle != 0:
			rule = &w.Steps[i]
		default:
			policy = &w.Steps[i]
		}
	}
	switch {
	case rule != nil:
		return *rule, true
	case policy != nil:
		return *policy, true
	}
	return Step{}, false
}

// Trace sends all packets of some sweeps and returns what each met, in the
// order in which they are sent. It takes longer than Ask for as many packets,
// about 20 µs each and more with many rules that match: ask about the edges of
// runs.
func Trace(ctx context.Context, s *sandbox.Sandbox, machine Machine, sweeps []Sweep) ([]Way, error) {
	for _, one := range sweeps {
		if err := one.validate(machine); err != nil {
			return nil, fmt.Errorf("sweep %s of %s: %w", one.Protocol, one.To, err)
		}
	}
	return trace.Call(ctx, s, machine.Zone, order{machine, sweeps})
}

var trace = sandbox.Register("sweep/trace", func(ctx context.Context, in *sandbox.Inside, o order) ([]Way, error) {
	return traceInside(ctx, in, o)
})
