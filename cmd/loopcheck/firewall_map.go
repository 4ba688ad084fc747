package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// mapOptions are the flags of firewall map.
type mapOptions struct {
	mapSource
	json bool
}

func newFirewallMap(a *app) *cobra.Command {
	var o mapOptions
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Show the verdict of every port, and the rule that decides",
		Long: `Map sends a packet to every TCP and UDP port over IPv4 and IPv6, and of every
ICMP type, and shows the verdicts as ranges, each with the rule that decided. It
asks from loopback, from outside, and from each other interface that the rules
name; --from chooses.

Rules are an nft script, what "nft -j list ruleset" prints, or what iptables-save
and ip6tables-save print, also both in one file. "live" copies this machine's
(root), with its interfaces and addresses; "-" reads the standard input.

--live needs no root: it asks this running machine itself, every TCP and UDP port
at loopback and at its own addresses, and changes nothing. It knows no rule.

Each packet is taken for one that comes alone: no limit is reached by it.`,
		Example: "  loopcheck firewall map --rules /etc/nftables.conf\n  loopcheck firewall map --rules live --from outside\n  loopcheck firewall map --live\n  iptables-save | loopcheck firewall map --rules - --json",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return a.firewallMap(o) },
	}
	f := cmd.Flags()
	o.flags(f)
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	return cmd
}

func (a *app) firewallMap(o mapOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.rules == "" && !o.live {
		return usagef("--rules is missing: write a file such as /etc/nftables.conf, live for this machine's rules, or - for the standard input; --live asks this machine without its rules")
	}
	ctx, stop := interruptible()
	maps, err := a.maps(ctx, o.mapSource)
	if err != nil {
		return stop.or(err)
	}
	stop.enter(printing)
	if o.json {
		return ignoreClosedPipe(writeJSON(a.stdout, maps))
	}
	_, err = io.WriteString(a.stdout, mapsText(maps))
	return ignoreClosedPipe(err)
}

// mapsText is what is printed: a block for each zone and protocol, in which
// families that are alike are one.
func mapsText(m *firewall.Maps) string {
	var b strings.Builder
	for i, place := range m.Zones {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s %s %s", harmlessLine(m.Source), whence(m.Source), harmlessLine(place.Zone))
		if place.Interface != place.Zone && place.Interface != "lo" {
			fmt.Fprintf(&b, " (%s)", harmlessLine(place.Interface))
		}
		b.WriteString("\n")
		for _, protocol := range []string{"tcp", "udp", "icmp"} {
			four, hasFour := m.Find(place.Zone, protocol, "ipv4")
			six, hasSix := m.Find(place.Zone, protocol, "ipv6")
			if hasFour && hasSix && protocol != "icmp" && slices.Equal(four.Ranges, six.Ranges) {
				mapText(&b, m, protocol, "IPv4 and IPv6", four)
				continue
			}
			if hasFour {
				mapText(&b, m, protocol, "IPv4", four)
			}
			if hasSix {
				mapText(&b, m, protocol, "IPv6", six)
			}
		}
	}
	for i, note := range m.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "note: %s\n", harmlessLine(note))
	}
	return b.String()
}

// whence is how texts say which zone a map of a source is of. Those of a running
// machine are its addresses.
func whence(source string) string {
	if source == firewall.Running {
		return "at"
	}
	return "from"
}

// harmlessLine is text from a file as one line that may be shown.
func harmlessLine(text string) string {
	return terminal.Harmless(strings.ReplaceAll(text, "\n", " "))
}

func mapText(b *strings.Builder, m *firewall.Maps, protocol, families string, one firewall.Map) {
	what := protocol
	if protocol == "icmp" {
		what = "icmp types"
	}
	fmt.Fprintf(b, "\n  %s over %s\n", what, families)
	width := 0
	for _, r := range one.Ranges {
		width = max(width, len(r.Outcome()))
	}
	for _, r := range one.Ranges {
		line := fmt.Sprintf("  %11s  %-*s  %s", r.Ports(), width, r.Outcome(), harmlessLine(m.Decided(r)))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
