// Package policy reads what a firewall is meant to do, and holds it against what
// the firewall does. A policy is a YAML file: rules, the zones around the
// machine, and expectations, each of which says what becomes of some packets.
package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// Machine is where packets go that name no other zone: the machine itself.
const Machine = stage.Machine

// Policy is what a firewall is meant to do.
type Policy struct {
	// Path is the file it was read from.
	Path string
	// Rules are the files with the rules, from the policy's folder; "live" stands
	// for the machine's.
	Rules []string
	// Zones are those around the machine; what goes nowhere else goes to the
	// first.
	Zones        []Zone
	Expectations []Expectation
	// Defaults are what becomes of everything that no expectation of a zone is
	// about.
	Defaults []Default
}

// Zone is a network around the machine.
type Zone struct {
	stage.Zone
	Line int
}

// Expectation is what becomes of some packets.
type Expectation struct {
	// Name is for people; where the file has none, it says what is expected.
	Name string
	From string
	// Sources are addresses that the packets come from; none means the zone's
	// own. Of a network its first and last address are asked.
	Sources []netip.Prefix
	// To is Machine or a zone.
	To string
	// Destinations are addresses that the packets go to; none means those of To.
	Destinations []netip.Prefix
	Protocol     sweep.Protocol
	// Ports are where tcp and udp go, and types of icmp.
	Ports []portset.Range
	// SourcePort is where they come from; 0 is any.
	SourcePort uint16
	State      sweep.State
	Families   []sock.Family
	Verdict    Wanted
	// Nth is not 0 where the expectation is about the nth of packets that come
	// within a second.
	Nth uint16
	// Arrives is where the packets come to, where the rules send them elsewhere.
	Arrives netip.AddrPort
	// Line is where it stands.
	Line int
}

// Default is what becomes of everything else from a zone.
type Default struct {
	From    string
	To      string
	Verdict Wanted
	Line    int
}

// Wanted is a verdict, or several.
type Wanted struct {
	// Text is how the file says it.
	Text string
	// Any are the verdicts that fulfil it. A reject without a kind stands for
	// every kind.
	Any []verdict.Verdict
}

// Fulfilled says whether a verdict is what is wanted.
func (w Wanted) Fulfilled(v verdict.Verdict) bool {
	for _, one := range w.Any {
		if one == v || one.Action == verdict.Reject && one.Kind == "" && v.Action == verdict.Reject {
			return true
		}
	}
	return false
}

// excludes says that no verdict fulfils both.
func (w Wanted) excludes(other Wanted) bool {
	for _, one := range w.Any {
		for _, two := range other.Any {
			same := one.Action == two.Action
			if same && (one.Kind == two.Kind || one.Kind == "" || two.Kind == "") {
				return false
			}
		}
	}
	return true
}

// describe is a name for an expectation that has none.
func (e Expectation) describe() string {
	var b strings.Builder
	only := len(e.Families) == 1 && len(e.Sources) == 0 && len(e.Destinations) == 0
	switch {
	case e.Protocol == sweep.ICMP && only && e.Families[0] == sock.IPv6:
		b.WriteString("icmpv6")
	default:
		fmt.Fprintf(&b, "%s", e.Protocol)
	}
	if ports := e.portsText(); ports != "" {
		b.WriteString(" " + ports)
	}
	fmt.Fprintf(&b, " from %s", e.From)
	for i, source := range e.Sources {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + addressText(source))
	}
	if e.SourcePort != 0 {
		fmt.Fprintf(&b, " port %d", e.SourcePort)
	}
	if e.To != Machine || len(e.Destinations) > 0 {
		fmt.Fprintf(&b, " to %s", e.To)
	}
	for i, destination := range e.Destinations {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + addressText(destination))
	}
	if only && e.Protocol != sweep.ICMP {
		fmt.Fprintf(&b, " over %s", map[sock.Family]string{sock.IPv4: "IPv4", sock.IPv6: "IPv6"}[e.Families[0]])
	}
	if e.State != sweep.New {
		fmt.Fprintf(&b, ", %s", e.State)
	}
	if e.Nth > 0 {
		fmt.Fprintf(&b, ", packet %d within a second", e.Nth)
	}
	fmt.Fprintf(&b, ": %s", e.Verdict.Text)
	if e.Arrives.IsValid() {
		fmt.Fprintf(&b, " at %s", e.Arrives)
	}
	return b.String()
}

// addressText leaves the length out of a network of one address.
func addressText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func (e Expectation) portsText() string {
	var texts []string
	for _, r := range e.Ports {
		if r.First <= 1 && r.Last == 65535 || r.First == 0 && r.Last == 255 {
			return ""
		}
		text := r.String()
		if e.Protocol == sweep.ICMP {
			text = typeText(r, e.Families)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}
