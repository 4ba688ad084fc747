package firewall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Ground is a stage that rules are loaded on, over and over.
type Ground struct {
	*stage.Stage
	// copied is the copy of the rules that is loaded.
	copied *ruleset.Copy
	// nats are the chains of it that translate addresses.
	nats map[chainKey]bool
}

type chainKey struct{ family, table, chain string }

// NewGround sets a stage, with every interface that the rules name as well.
func NewGround(ctx context.Context, r *Rules, c stage.Config) (*Ground, error) {
	for _, name := range r.interfaces() {
		taken := slices.ContainsFunc(c.Zones, func(z stage.Zone) bool { return z.Interface == name })
		if !taken && len(c.Interfaces) < maxInterfaces {
			c.Interfaces = append(c.Interfaces, name)
		}
	}
	s, err := stage.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Ground{Stage: s}, nil
}

// interfaces are those that the rules name, in order, without lo. Of those that
// they name together, as by docker*, the machine's own, or one.
func (r *Rules) interfaces() []string {
	names := r.Mentions()
	for _, beginning := range r.Patterns() {
		named := slices.DeleteFunc(slices.Collect(maps.Keys(r.around.addresses)), func(name string) bool { return !strings.HasPrefix(name, beginning) })
		if len(named) == 0 && !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, beginning) }) {
			named = []string{beginning + "0"} // one of those that it stands for
		}
		names = append(names, named...)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !stageable(name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// Load puts a ruleset in the place of the one that is there. What limits counted
// and sets held begins as the ruleset says.
func (g *Ground) Load(ctx context.Context, r *ruleset.Ruleset) error {
	copied, err := ruleset.ReplaceIn(ctx, g.Sandbox, stage.Machine, sweep.Table, r)
	if err != nil {
		return err
	}
	g.copied, g.nats = copied, map[chainKey]bool{}
	for _, t := range r.Tables {
		for _, c := range t.Chains {
			if c.Base != nil && c.Base.Type == "nat" {
				g.nats[chainKey{t.Family, t.Name, c.Name}] = true
			}
		}
	}
	return nil
}

// Untried are the parts of the rules that are not there, or not as they were.
func (g *Ground) Untried() []ruleset.Refusal {
	return slices.Concat(g.copied.Omitted, g.copied.Changed)
}

// Ask is sweep.Ask.
func (g *Ground) Ask(ctx context.Context, sweeps []sweep.Sweep) ([][]sweep.Run, error) {
	return sweep.Ask(ctx, g.Sandbox, g.Sweep, sweeps)
}

// Trace is sweep.Trace, with the handles that the rules have where they come
// from.
func (g *Ground) Trace(ctx context.Context, sweeps []sweep.Sweep) ([]sweep.Way, error) {
	ways, err := sweep.Trace(ctx, g.Sandbox, g.Sweep, sweeps)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, way := range ways {
		for i := range way.Steps {
			step := &way.Steps[i]
			step.NAT = g.nats[chainKey{step.Family, step.Table, step.Base}]
			if step.Handle == 0 {
				continue
			}
			original, found := g.copied.Original(step.Family, step.Table, step.Handle)
			if !found {
				errs = append(errs, fmt.Errorf("the rule with handle %d of the copy of table %s %s has no original", step.Handle, step.Family, step.Table))
			}
			step.Handle = original
		}
	}
	return ways, errors.Join(errs...)
}
