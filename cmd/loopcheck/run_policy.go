package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	firewallsuite "github.com/loopcheck/loopcheck/suites/firewall"
)

// policyRun is a run with a policy, whose expectations are checks of it.
type policyRun struct {
	policy *policy.Policy
	rules  *firewall.Rules
	// lacking is why this machine cannot load the rules, which skips the checks.
	lacking error
}

// declarePolicy reads a policy and makes checks of its expectations.
func declarePolicy(path string) (*policyRun, error) {
	p, err := policy.ReadFile(path)
	if err != nil {
		return nil, usagef("--policy: %w", err)
	}
	r := &policyRun{policy: p}
	firewallsuite.DeclarePolicy(p, func(ctx context.Context) (*policy.Result, error) {
		if r.lacking != nil {
			return nil, r.lacking
		}
		return policy.Check(ctx, r.policy, r.rules)
	})
	return r, nil
}

// load loads the rules, so that a mistake in them ends the run before it begins.
// It does so only where a check of the plan asks about them.
func (r *policyRun) load(plan []check.Check) error {
	if r == nil || !slices.ContainsFunc(plan, func(c check.Check) bool { return check.OfPolicy(c.ID) }) {
		return nil
	}
	rules, err := loadRules(context.Background(), r.policy.Path+": rules", r.policy.Rules...)
	if lacks(err) {
		r.lacking = err
		return nil
	}
	r.rules = rules
	return err
}

// lacks says that it is the machine that lacks something, and not the rules.
func lacks(err error) bool {
	for _, lack := range []any{new(*sandbox.RefusedError), new(*ruleset.MissingProgramError), new(*ruleset.PermissionError)} {
		if errors.As(err, lack) {
			return true
		}
	}
	return errors.Is(err, errors.ErrUnsupported)
}

// examine is what is looked at once the checks have ended: the maps, the
// coverage and, where they are wanted, the mutants.
func (r *policyRun) examine(a *app, display *progress.Display, mutate bool) []func(context.Context) (report.Firewall, error) {
	if r == nil || r.rules == nil {
		return nil
	}
	// The line of the last suite is done before bars are drawn.
	bar := func(label string, total int) *progress.Bar {
		display.Close()
		return progress.NewBar(a.stderr, a.progressStyle(), label, total)
	}
	looks := []func(context.Context) (report.Firewall, error){
		func(ctx context.Context) (report.Firewall, error) {
			defer bar("firewall maps", 1).Close()
			maps, err := firewall.Make(ctx, r.rules, r.mapOptions())
			return report.Firewall{Maps: maps}, rulesError(err)
		},
		func(ctx context.Context) (report.Firewall, error) {
			defer bar("policy coverage", 1).Close()
			coverage, err := policy.Cover(ctx, r.policy, r.rules)
			return report.Firewall{Coverage: coverage}, rulesError(err)
		},
	}
	if !mutate {
		return looks
	}
	return append(looks, func(ctx context.Context) (report.Firewall, error) {
		tell, done := mutationBar(func(all int) *progress.Bar { return bar("mutants of the rules", all) })
		defer done()
		mutations, err := policy.Mutate(ctx, r.policy, r.rules, tell)
		if broken, ok := errors.AsType[*policy.BrokenError](err); ok {
			return report.Firewall{Notes: []string{fmt.Sprintf("no mutant was made: %s: %s", r.policy.Path, broken)}}, nil
		}
		return report.Firewall{Mutation: mutations}, rulesError(err)
	})
}

// mapOptions map from where the policy's own zone outside is, or else its first.
func (r *policyRun) mapOptions() firewall.Options {
	i := max(slices.IndexFunc(r.policy.Zones, func(z policy.Zone) bool { return z.Name == firewall.Outside }), 0)
	if i >= len(r.policy.Zones) {
		return firewall.Options{}
	}
	return firewall.Options{Uplink: r.policy.Zones[i].Interface, Address: r.policy.Zones[i].Machine}
}
