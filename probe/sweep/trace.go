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
	// NAT says that Base is of the type nat. Who knows the ruleset sets it: a
	// trace does not tell.
	NAT bool `json:"nat,omitempty"`
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

// Decision is the step that decided about the packet: that which dropped it, or,
// of those that accepted it, the last rule, and where there is none the last
// policy. What translates addresses comes after what filters, since it is not
// there to decide. None was met where no base chain is on the packet's way.
func (w Way) Decision() (Step, bool) {
	var best *Step
	for i, step := range w.Steps {
		switch {
		case !step.Verdict.Final():
		case step.Verdict.Code != nftrace.Accept:
			return step, true
		case best == nil || step.weight() >= best.weight():
			best = &w.Steps[i]
		}
	}
	if best == nil {
		return Step{}, false
	}
	return *best, true
}

// weight is how much a step that accepts says about why.
func (s Step) weight() int {
	switch {
	case s.Handle != 0 && !s.NAT:
		return 3
	case s.Handle != 0:
		return 2
	case !s.NAT:
		return 1
	}
	return 0
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
