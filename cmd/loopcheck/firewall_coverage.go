package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// coverageOptions are the flags of firewall coverage.
type coverageOptions struct {
	json   bool
	failOn []string
}

// uses are those of rules, in the order in which they are shown.
var uses = []policy.Use{policy.Met, policy.Untested, policy.Shadowed, policy.Dead}

func newFirewallCoverage(a *app) *cobra.Command {
	var o coverageOptions
	cmd := &cobra.Command{
		Use:   "coverage POLICY.yaml",
		Short: "Show which rules a policy tests, and which no packet meets",
		Long: `Coverage sends the packets of a policy, and then every kind of packet that the
rules can tell apart, and shows of each rule which it meets:

  met        packets of the policy meet it
  untested   other packets meet it: an expectation that would is shown, to be pasted
  shadowed   every packet that it matches is decided about before, by the rules shown
  dead       no packet that was tried matches it`,
		Example: "  loopcheck firewall coverage policy.yaml\n  loopcheck firewall coverage policy.yaml --fail-on untested,shadowed,dead",
		Args:    onePolicy,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, use := range o.failOn {
				if err := oneOf("--fail-on", use, "untested", "shadowed", "dead"); err != nil {
					return &usageError{err}
				}
			}
			return a.firewallCoverage(args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 when there are rules of one of these `USES`: untested, shadowed, dead")
	return cmd
}

func (a *app) firewallCoverage(name string, o coverageOptions) error {
	ctx, stop := interruptible()
	p, rules, err := readPolicy(ctx, name)
	if err != nil {
		return stop.or(err)
	}
	coverage, err := policy.Cover(ctx, p, rules)
	if err != nil {
		return stop.or(rulesError(err))
	}
	stop.enter(printing)
	if o.json {
		err = writeJSON(a.stdout, coverage)
	} else {
		_, err = io.WriteString(a.stdout, coverageText(coverage))
	}
	if err := ignoreClosedPipe(err); err != nil {
		return err
	}
	for _, use := range o.failOn {
		if coverage.Of(policy.Use(use)) > 0 {
			return codeError(exitFailed)
		}
	}
	return nil
}

// coverageText is what is printed: the rules by their use, and how many of each
// there are.
func coverageText(c *policy.Coverage) string {
	var b strings.Builder
	var counts []string
	for _, use := range uses {
		n := c.Of(use)
		counts = append(counts, fmt.Sprintf("%d %s", n, use))
		if n == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s\n", use)
		for _, r := range c.Rules {
			if r.Use == use {
				coveredText(&b, c.Policy, r)
			}
		}
		endParagraph(&b)
	}
	notesText(&b, c.Notes)
	fmt.Fprintf(&b, "%s: %s.\n", countOf(len(c.Rules), "rule"), strings.Join(counts, ", "))
	return b.String()
}

// maxNamed bounds the expectations that are shown of one rule. Those that accept
// what belongs to a connection are met by nearly all.
const maxNamed = 3

func coveredText(b *strings.Builder, path string, r policy.Covered) {
	fmt.Fprintf(b, "  %s\n", terminal.Harmless(r.String()))
	for _, by := range r.By[:min(len(r.By), maxNamed)] {
		fmt.Fprintf(b, "    by %s\n", named(path, by))
	}
	if more := len(r.By) - maxNamed; more > 0 {
		fmt.Fprintf(b, "    and by %s more\n", countOf(more, "expectation"))
	}
	for _, shadow := range r.Shadows {
		fmt.Fprintf(b, "    behind %s\n", terminal.Harmless(shadow.String()))
	}
	if r.Why != "" {
		fmt.Fprintf(b, "    %s\n", terminal.Harmless(r.Why))
	}
	suggestionText(b, "    this would test it:", r.Suggestion)
}

// suggestionText shows an expectation as it stands in a policy, to be pasted.
func suggestionText(b *strings.Builder, introduction, suggestion string) {
	if suggestion != "" {
		fmt.Fprintf(b, "%s\n\n%s\n\n", introduction, terminal.Harmless(suggestion))
	}
}

// endParagraph leaves a blank line, where there is none.
func endParagraph(b *strings.Builder) {
	if !strings.HasSuffix(b.String(), "\n\n") {
		b.WriteString("\n")
	}
}
