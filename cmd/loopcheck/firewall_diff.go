package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall"
)

// diffOptions are the flags of firewall diff.
type diffOptions struct {
	json   bool
	failOn []string
}

func newFirewallDiff(a *app) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff BASE.json NEW.json",
		Short: "Say what opened and what closed between two snapshots",
		Long: `Diff compares the verdicts of two files that "firewall snapshot" wrote. Ports
that opened come first, then those that closed, then those that are refused
otherwise than before or lead elsewhere, each with the rule that decided before
and after. A port whose verdict is the same by another rule did not change.

A zone that only one of the two was asked from is told and not compared.`,
		Example: "  loopcheck firewall diff base.json new.json\n  loopcheck firewall diff base.json new.json --fail-on open",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s takes two files that `loopcheck firewall snapshot` wrote: see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.firewallDiff(o, args[0], args[1]) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 when there is one of these `CHANGES`: open, close, any; any is also what could not be compared")
	return cmd
}

func (a *app) firewallDiff(o diffOptions, base, after string) error {
	for _, change := range o.failOn {
		if err := oneOf("--fail-on", change, "open", "close", "any"); err != nil {
			return &usageError{err}
		}
	}
	var maps [2]*firewall.Maps
	for i, path := range []string{base, after} {
		var err error
		if maps[i], err = firewall.ReadMaps(path); err != nil {
			return &usageError{err}
		}
	}
	if !overlap(maps[0], maps[1]) {
		return usagef("%s is from %s and %s from %s: make both from the same zones", base, zoneNames(maps[0]), after, zoneNames(maps[1]))
	}
	d := firewall.Diff(maps[0], maps[1])
	var err error
	if o.json {
		err = writeJSON(a.stdout, d)
	} else {
		_, err = io.WriteString(a.stdout, diffText(d))
	}
	if err := ignoreClosedPipe(err); err != nil {
		return err
	}
	if o.fails(d) {
		return codeError(exitFailed)
	}
	return nil
}

// overlap says that there is anything that both were asked.
func overlap(a, b *firewall.Maps) bool {
	return slices.ContainsFunc(a.Maps, func(m firewall.Map) bool {
		_, found := b.Find(m.Zone, m.Protocol, m.Family)
		return found
	})
}

// zoneNames lists the zones that maps are from.
func zoneNames(m *firewall.Maps) string {
	var names []string
	for _, place := range m.Zones {
		names = append(names, place.Zone)
	}
	return strings.Join(names, ", ")
}

func (o diffOptions) fails(d *firewall.Difference) bool {
	return slices.Contains(o.failOn, "open") && d.Count(firewall.Opened) > 0 ||
		slices.Contains(o.failOn, "close") && d.Count(firewall.Closed) > 0 ||
		slices.Contains(o.failOn, "any") && len(d.Changes)+len(d.Uncompared) > 0
}

// diffText is what is printed: a block for each effect, what was not compared,
// and a sentence with the counts.
func diffText(d *firewall.Difference) string {
	var b strings.Builder
	for i, c := range d.Changes {
		if i == 0 || d.Changes[i-1].Effect != c.Effect {
			fmt.Fprintf(&b, "%s\n", effectNames[c.Effect])
		}
		fmt.Fprintf(&b, "  %s %s %s over %s\n", numbers(c), whence(d.New), harmlessLine(c.Zone), strings.Join(familyNames(c.Families), " and "))
		fmt.Fprintf(&b, "    before: %s\n", decisionText(c.Before, d.Base))
		fmt.Fprintf(&b, "    after:  %s\n", decisionText(c.After, d.New))
		if i == len(d.Changes)-1 || d.Changes[i+1].Effect != c.Effect {
			b.WriteString("\n")
		}
	}
	for i, u := range d.Uncompared {
		fmt.Fprintf(&b, "not compared: %s\n", uncomparedText(u))
		if i == len(d.Uncompared)-1 {
			b.WriteString("\n")
		}
	}
	b.WriteString(diffSentence(d))
	return b.String()
}

// numbers is "tcp 22-25" or "icmp type 8".
func numbers(c firewall.Change) string {
	switch {
	case c.Protocol != "icmp":
		return c.Protocol + " " + c.Range.String()
	case c.First == c.Last:
		return "icmp type " + c.Range.String()
	}
	return "icmp types " + c.Range.String()
}

// familyNames are families as texts write them.
func familyNames(families []string) []string {
	var names []string
	for _, family := range families {
		names = append(names, strings.Replace(family, "ip", "IP", 1))
	}
	return names
}

// decisionText is the verdict with the rule that decided, in a snapshot of a
// source.
func decisionText(d firewall.Decision, source string) string {
	text := d.Outcome()
	switch {
	case d.Rule != nil:
		text += ", by " + d.Rule.String()
	case source != firewall.Running:
		text += ", no rule on the way"
	}
	return harmlessLine(text)
}

func uncomparedText(u firewall.Uncompared) string {
	what := fmt.Sprintf("zone %s", u.Zone)
	if u.Protocol != "" {
		what = fmt.Sprintf("%s from %s over %s", u.Protocol, u.Zone, familyNames([]string{u.Family})[0])
	}
	in := "first"
	if u.In == "new" {
		in = "second"
	}
	return fmt.Sprintf("%s is in the %s snapshot only", harmlessLine(what), in)
}

// effectNames are effects as texts write them.
var effectNames = map[firewall.Effect]string{firewall.Opened: "opened", firewall.Closed: "closed", firewall.Altered: "changed otherwise"}

// diffSentence counts.
func diffSentence(d *firewall.Difference) string {
	var parts []string
	for _, effect := range []firewall.Effect{firewall.Opened, firewall.Closed, firewall.Altered} {
		count := d.Count(effect)
		if count == 0 {
			continue
		}
		text := grouped(count)
		if len(parts) == 0 {
			text = countOf(count, "range")
		}
		parts = append(parts, text+" "+effectNames[effect])
	}
	if len(parts) == 0 {
		return "No verdict changed.\n"
	}
	return strings.Join(parts, ", ") + ".\n"
}
