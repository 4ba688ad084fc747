package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

func newFirewallCheck(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check POLICY.yaml",
		Short: "Hold a firewall against a policy",
		Long: `Check loads the rules that a policy names into a private network namespace, sends
the packets that the policy is about, and exits with 1 where one of them gets
another verdict than expected: it shows the packet, the verdict that was expected
and the one that it got, and the rule that decided.

A policy is a YAML file:

  rules: nftables.conf            # from the policy's folder; or a list, or live
  zones:
    outside: {interface: eth0}
  expect:
    - from: outside
      protocol: tcp
      ports: [22, 80, 443]
      verdict: accept
  defaults:
    - from: outside               # everything else from there
      verdict: drop

docs/firewall.md describes every key, docs/policy.schema.json is its schema.`,
		Example: "  loopcheck firewall check policy.yaml\n  loopcheck firewall check policy.yaml --json",
		Args:    onePolicy,
		RunE:    func(_ *cobra.Command, args []string) error { return a.firewallCheck(args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (a *app) firewallCheck(name string, asJSON bool) error {
	ctx, stop := interruptible()
	p, rules, err := readPolicy(ctx, name)
	if err != nil {
		return stop.or(err)
	}
	result, err := policy.Check(ctx, p, rules)
	if err != nil {
		return stop.or(rulesError(err))
	}
	stop.enter(printing)
	if asJSON {
		err = writeJSON(a.stdout, result)
	} else {
		_, err = io.WriteString(a.stdout, checkText(result))
	}
	if err := ignoreClosedPipe(err); err != nil {
		return err
	}
	if result.Broken() > 0 {
		return codeError(exitFailed)
	}
	return nil
}

// maxBreaches bounds what is shown of one expectation. A default that does not
// hold may be broken by thousands of ports.
const maxBreaches = 20

// checkText is what is printed: every expectation that does not hold or could
// not be asked, and how many there are.
func checkText(r *policy.Result) string {
	var b strings.Builder
	skipped := 0
	for _, o := range r.Outcomes {
		switch {
		case len(o.Breaches) > 0:
			fmt.Fprintf(&b, "%s\n  expected: %s\n", named(r.Policy, policy.Named{Name: o.Name, Line: o.Line}), terminal.Harmless(o.Expected))
			for _, breach := range o.Breaches[:min(len(o.Breaches), maxBreaches)] {
				breachText(&b, breach)
			}
			if more := len(o.Breaches) - maxBreaches; more > 0 {
				fmt.Fprintf(&b, "  and %d more, which --json lists\n", more)
			}
			b.WriteString("\n")
		case o.Skipped != "":
			skipped++
			fmt.Fprintf(&b, "%s\n  not asked: %s\n\n", named(r.Policy, policy.Named{Name: o.Name, Line: o.Line}), terminal.Harmless(o.Skipped))
		}
	}
	notesText(&b, r.Notes)
	all, broken := len(r.Outcomes), r.Broken()
	switch {
	case broken > 0:
		fmt.Fprintf(&b, "%d of %s %s broken", broken, countOf(all, "expectation"), isAre(broken))
	case skipped > 0:
		fmt.Fprintf(&b, "%d of %s hold", all-skipped, countOf(all, "expectation"))
	case all == 1:
		b.WriteString("The one expectation holds")
	default:
		fmt.Fprintf(&b, "All %s hold", countOf(all, "expectation"))
	}
	if skipped > 0 {
		fmt.Fprintf(&b, ", %d could not be asked", skipped)
	}
	b.WriteString(".\n")
	return b.String()
}

func breachText(b *strings.Builder, breach policy.Breach) {
	fmt.Fprintf(b, "  %s: %s\n", terminal.Harmless(breach.Packet()), terminal.Harmless(breach.Verdict()))
	switch {
	case breach.Rule != nil:
		fmt.Fprintf(b, "    decided by %s\n", terminal.Harmless(breach.Rule.String()))
	case breach.Actual.Action == verdict.Drop:
		b.WriteString("    decided by no rule: the stack drops it, as what is sent to an address that the machine has not, or from one that nobody may have\n")
	default:
		b.WriteString("    decided by no rule: there is none on the way\n")
	}
}

// named is an expectation with the line that it stands in.
func named(path string, n policy.Named) string {
	return terminal.Harmless(fmt.Sprintf("%s:%d: %s", path, n.Line, n.Name))
}

// notesText says what was not asked as it is on a machine.
func notesText(b *strings.Builder, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(b, "note: %s\n", terminal.Harmless(note))
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
