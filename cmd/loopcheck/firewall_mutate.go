package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/ruleset"
)

// mutateOptions are the flags of firewall mutate.
type mutateOptions struct {
	json, verbose bool
	minScore      float64
}

func newFirewallMutate(a *app) *cobra.Command {
	var o mutateOptions
	cmd := &cobra.Command{
		Use:   "mutate POLICY.yaml",
		Short: "Make small mistakes in the rules, and see which a policy notices",
		Long: `Mutate makes one small mistake after another in the rules of a policy: a rule
deleted or swapped with its neighbour, a verdict, protocol, state or policy
changed, a match dropped, a port, address or limit off by one. Of each mutant it
says what becomes of it:

  killed       an expectation of the policy does not hold any more
  survived     every expectation holds, although something is answered otherwise:
               the packet is shown, and the expectation that would kill the mutant
  equivalent   every packet that rules can tell apart is answered as before
  refused      the kernel does not take such rules

The score is the share of killed mutants among the killed and the survivors.`,
		Example: "  loopcheck firewall mutate policy.yaml\n  loopcheck firewall mutate policy.yaml --min-score 80",
		Args:    onePolicy,
		RunE: func(_ *cobra.Command, args []string) error {
			if !(o.minScore >= 0 && o.minScore <= 100) { // which NaN is not either
				return usagef("--min-score %v: write percent, from 0 to 100", o.minScore)
			}
			return a.firewallMutate(args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	f.BoolVar(&o.verbose, "verbose", false, "show every mutant, not the survivors alone")
	f.Float64Var(&o.minScore, "min-score", 0, "exit 1 when fewer than `PERCENT` of the mutants are killed")
	return cmd
}

func (a *app) firewallMutate(name string, o mutateOptions) error {
	ctx, stop := interruptible()
	p, rules, err := readPolicy(ctx, name)
	if err != nil {
		return stop.or(err)
	}
	mutations, err := a.mutate(ctx, p, rules)
	if broken, ok := errors.AsType[*policy.BrokenError](err); ok {
		return usagef("%s: %w: `loopcheck firewall check` shows how it is broken", p.Path, broken)
	}
	if err != nil {
		return stop.or(rulesError(err))
	}
	stop.enter(printing)
	if o.json {
		err = writeJSON(a.stdout, mutations)
	} else {
		_, err = io.WriteString(a.stdout, mutationsText(mutations, o.verbose))
	}
	if err := ignoreClosedPipe(err); err != nil {
		return err
	}
	if 100*mutations.Score < o.minScore {
		return codeError(exitFailed)
	}
	return nil
}

// mutate shows how far it has come.
func (a *app) mutate(ctx context.Context, p *policy.Policy, rules *firewall.Rules) (*policy.Mutations, error) {
	tell, done := mutationBar(func(all int) *progress.Bar {
		return progress.NewBar(a.stderr, a.progressStyle(), "mutants", all)
	})
	defer done()
	return policy.Mutate(ctx, p, rules, tell)
}

// mutationBar starts a bar as soon as policy.Mutate tells how many mutants there
// are.
func mutationBar(start func(all int) *progress.Bar) (tell func(done, all int), closeBar func()) {
	var bar *progress.Bar
	tell = func(done, all int) {
		if bar == nil {
			bar = start(all)
		}
		if done > 0 {
			bar.Add(1)
		}
	}
	return tell, func() {
		if bar != nil {
			bar.Close()
		}
	}
}

// mutationsText is what is printed: the score, the survivors, and what else was
// tried.
func mutationsText(m *policy.Mutations, verbose bool) string {
	var b strings.Builder
	killed, survived := m.Of(policy.Killed), m.Of(policy.Survived)
	if killed+survived == 0 {
		b.WriteString("There is no mutant that a policy could notice")
	} else {
		// Rounded down: 100 % is said of all of them alone.
		fmt.Fprintf(&b, "%d of %s killed (%d %%)", killed, countOf(killed+survived, "mutant"), 100*killed/(killed+survived))
	}
	for _, fate := range []policy.Fate{policy.Equivalent, policy.Refused} {
		if n := m.Of(fate); n > 0 {
			fmt.Fprintf(&b, ", %d %s", n, fate)
		}
	}
	b.WriteString("\n")
	fates := []policy.Fate{policy.Survived}
	if verbose {
		fates = append(fates, policy.Killed, policy.Equivalent, policy.Refused)
	}
	for _, fate := range fates {
		if m.Of(fate) == 0 {
			continue
		}
		endParagraph(&b)
		fmt.Fprintf(&b, "%s\n", fate)
		for _, one := range m.Mutants {
			if one.Fate == fate {
				mutantText(&b, m.Policy, one)
			}
		}
	}
	killedText(&b, m)
	endParagraph(&b)
	notesText(&b, m.Notes)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func mutantText(b *strings.Builder, path string, m policy.Mutant) {
	fmt.Fprintf(b, "  %s\n    %s", terminal.Harmless(m.Rule.String()), m.Mutation)
	if m.Mutation != ruleset.DeleteRule {
		fmt.Fprintf(b, ": %s", terminal.Harmless(m.Change))
	}
	b.WriteString("\n")
	if m.Difference != "" {
		fmt.Fprintf(b, "    %s\n", terminal.Harmless(m.Difference))
	}
	if m.KilledBy != nil {
		fmt.Fprintf(b, "    killed by %s\n", named(path, *m.KilledBy))
	}
	if m.Why != "" {
		fmt.Fprintf(b, "    %s\n", terminal.Harmless(m.Why))
	}
	suggestionText(b, "    this would kill it:", m.Suggestion)
}

// killedText counts the killed by the kind of mistake.
func killedText(b *strings.Builder, m *policy.Mutations) {
	var kinds []ruleset.Mutation
	killed, judged := map[ruleset.Mutation]int{}, map[ruleset.Mutation]int{}
	width := 0
	for _, one := range m.Mutants {
		if one.Fate != policy.Killed && one.Fate != policy.Survived {
			continue
		}
		if !slices.Contains(kinds, one.Mutation) {
			kinds = append(kinds, one.Mutation)
			width = max(width, len(one.Mutation))
		}
		judged[one.Mutation]++
		if one.Fate == policy.Killed {
			killed[one.Mutation]++
		}
	}
	if len(kinds) == 0 {
		return
	}
	endParagraph(b)
	b.WriteString("killed, by the kind of mistake\n")
	for _, kind := range kinds {
		fmt.Fprintf(b, "  %-*s  %d of %d\n", width, kind, killed[kind], judged[kind])
	}
}
