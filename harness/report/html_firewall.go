package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

const (
	// shownBreaches and shownRanges bound what the page shows of one expectation
	// and of one map. The JSON report has all of them.
	shownBreaches = 50
	shownRanges   = 400
	// openMaps is up to how many maps are shown without being asked for.
	openMaps = 6
)

// firewallView is the section of the firewall as the template wants it.
type firewallView struct {
	Policy   string // its file
	Broken   []outcomeView
	Outcomes []outcomeView
	Source   string // file of the rules
	Zones    []zoneView
	// Coverage and Mutation are nil where there is none.
	Coverage *coverageView
	Mutation *mutationView
	Notes    []string
}

// outcomeView is an expectation with what came of it.
type outcomeView struct {
	policy.Outcome
	Place string
	State check.State
	// Check is the ID of the check that it is, "" where the report has none.
	Check    string
	Breached []breachView
	More     int // breaches that are not shown
}

type breachView struct{ Packet, Actual, Decider string }

type coverageView struct {
	Counts []useCount
	Rules  []coveredView
}

type useCount struct {
	Use string
	N   int
}

// coveredView is a rule; those that nothing tests come first.
type coveredView struct {
	policy.Covered
	State check.State
	By    []string
}

type mutationView struct {
	Sentence string
	Survived []mutantView
	Others   []mutantView
}

type mutantView struct {
	policy.Mutant
	State    check.State
	KilledBy string
}

func (r *Report) firewallView() *firewallView {
	f := r.Firewall
	if f == nil {
		return nil
	}
	v := &firewallView{Notes: slices.Clone(f.Notes)}
	if f.Policy != nil {
		v.Policy = f.Policy.Policy
		v.Notes = append(v.Notes, f.Policy.Notes...)
		for i, o := range f.Policy.Outcomes {
			one := r.outcomeView(f.Policy, i, o)
			v.Outcomes = append(v.Outcomes, one)
			if one.State == check.Fail {
				v.Broken = append(v.Broken, one)
			}
		}
	}
	if f.Maps != nil {
		v.Source, v.Zones = f.Maps.Source, zonesOf(f.Maps)
		v.Notes = append(v.Notes, f.Maps.Notes...)
	}
	if f.Coverage != nil {
		v.Coverage = coverageOf(f.Coverage)
		v.Notes = append(v.Notes, f.Coverage.Notes...)
	}
	if f.Mutation != nil {
		v.Mutation = mutationOf(f.Mutation)
		v.Notes = append(v.Notes, f.Mutation.Notes...)
	}
	slices.Sort(v.Notes)
	v.Notes = slices.Compact(v.Notes)
	return v
}

func (r *Report) outcomeView(p *policy.Result, i int, o policy.Outcome) outcomeView {
	v := outcomeView{Outcome: o, Place: fmt.Sprintf("%s:%d", p.Policy, o.Line), State: check.Pass}
	switch {
	case len(o.Breaches) > 0:
		v.State = check.Fail
	case o.Skipped != "":
		v.State = check.Skip
	}
	id := fmt.Sprintf("%s-%03d", check.PolicyTopic, i+1)
	if slices.ContainsFunc(r.Checks, func(c Check) bool { return c.ID == id }) {
		v.Check = id
	}
	shown := o.Breaches[:min(len(o.Breaches), shownBreaches)]
	v.More = len(o.Breaches) - len(shown)
	for _, b := range shown {
		// Addresses of a report that was read may have any zone.
		v.Breached = append(v.Breached, breachView{
			terminal.Harmless(b.Packet()), terminal.Harmless(b.Verdict()), b.Decider(),
		})
	}
	return v
}

// uses are in the order in which rules are told.
var uses = []policy.Use{policy.Untested, policy.Shadowed, policy.Dead, policy.Met}

func coverageOf(c *policy.Coverage) *coverageView {
	v := &coverageView{}
	for _, use := range uses {
		if n := c.Of(use); n > 0 {
			v.Counts = append(v.Counts, useCount{string(use), n})
		}
		for _, rule := range c.Rules {
			if rule.Use != use {
				continue
			}
			one := coveredView{Covered: rule, State: check.Warn}
			if use == policy.Met {
				one.State = check.Pass
			}
			for _, by := range rule.By {
				one.By = append(one.By, namedText(by))
			}
			v.Rules = append(v.Rules, one)
		}
	}
	return v
}

func namedText(n policy.Named) string { return fmt.Sprintf("line %d: %s", n.Line, n.Name) }

func mutationOf(m *policy.Mutations) *mutationView {
	killed, survived := m.Of(policy.Killed), m.Of(policy.Survived)
	v := &mutationView{Sentence: fmt.Sprintf("The policy notices %d of %s in the rules: %.0f %%.",
		killed, count(killed+survived, "mistake"), 100*m.Score)}
	if killed+survived == 0 {
		v.Sentence = "There is no mistake to be made in the rules that a policy could notice."
	}
	for _, rest := range []policy.Fate{policy.Equivalent, policy.Refused} {
		if n := m.Of(rest); n > 0 {
			v.Sentence += fmt.Sprintf(" %d more %s %s.", n, plural(n, "is", "are"), rest)
		}
	}
	for _, mutant := range m.Mutants {
		one := mutantView{Mutant: mutant, State: check.Skip}
		switch mutant.Fate {
		case policy.Survived:
			one.State = check.Warn
			v.Survived = append(v.Survived, one)
			continue
		case policy.Killed:
			one.State = check.Pass
		}
		if mutant.KilledBy != nil {
			one.KilledBy = namedText(*mutant.KilledBy)
		}
		v.Others = append(v.Others, one)
	}
	return v
}

// zoneView is the maps of packets from one zone.
type zoneView struct {
	Zone  string
	About string // the interface and the addresses
	Maps  []mapView
}

// zonesOf gives each zone its maps, loopback last. Families that are alike share
// one.
func zonesOf(m *firewall.Maps) []zoneView {
	var zones []zoneView
	places := slices.Clone(m.Zones)
	slices.SortStableFunc(places, func(a, b firewall.Place) int {
		return boolInt(a.Zone == firewall.Loopback) - boolInt(b.Zone == firewall.Loopback)
	})
	for _, place := range places {
		zone := zoneView{Zone: place.Zone, About: "through " + place.Interface}
		for i := range min(len(place.From), len(place.To)) {
			zone.About += terminal.Harmless(fmt.Sprintf(", from %s to %s", place.From[i], place.To[i]))
		}
		for _, protocol := range []string{"tcp", "udp", "icmp"} {
			four, hasFour := m.Find(place.Zone, protocol, "ipv4")
			six, hasSix := m.Find(place.Zone, protocol, "ipv6")
			if hasFour && hasSix && protocol != "icmp" && slices.Equal(four.Ranges, six.Ranges) {
				zone.Maps = append(zone.Maps, mapViewOf(m, four, "IPv4 and IPv6"))
				continue
			}
			if hasFour {
				zone.Maps = append(zone.Maps, mapViewOf(m, four, "IPv4"))
			}
			if hasSix {
				zone.Maps = append(zone.Maps, mapViewOf(m, six, "IPv6"))
			}
		}
		zones = append(zones, zone)
	}
	shown := 0
	for _, zone := range zones {
		for i := range zone.Maps {
			if one := &zone.Maps[i]; one.Picture != nil && shown < openMaps {
				one.Open = true
				shown++
			}
		}
	}
	return zones
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mapView is one map: a picture, and a table of the ranges.
type mapView struct {
	Title   string
	Summary string
	// Picture is nil for icmp, whose types are few.
	Picture *mapPicture
	Number  string // what the ranges are of
	Ranges  []rangeView
	More    int // ranges that are not shown
	Open    bool
}

type rangeView struct{ Ports, Outcome, Class, Place, Rule string }

func mapViewOf(m *firewall.Maps, one firewall.Map, families string) mapView {
	v := mapView{Title: fmt.Sprintf("%s over %s", one.Protocol, families), Number: "Ports"}
	if one.Protocol == "icmp" {
		v.Title, v.Number = "icmp types over "+families, "Types"
	}
	areas := areasOf(one.Ranges)
	var parts []string
	for _, a := range areas {
		parts = append(parts, fmt.Sprintf("%s %s", grouped(fmt.Sprint(a.N)), a.Name))
	}
	v.Summary = strings.Join(parts, ", ")
	if one.Protocol != "icmp" {
		v.Picture = &mapPicture{
			Label: fmt.Sprintf("Map of %s from %s, a cell a port, 256 in a row: %s. The ranges are in the table that follows.", v.Title, one.Zone, v.Summary),
			Areas: areas,
		}
	}
	shown := one.Ranges[:min(len(one.Ranges), shownRanges)]
	v.More = len(one.Ranges) - len(shown)
	for _, r := range shown {
		row := rangeView{Ports: r.Ports(), Outcome: terminal.Harmless(r.Outcome()), Class: fillOf(r).class, Rule: m.Decided(r)}
		if r.Local {
			row.Outcome += ", on its way out"
		}
		if r.Rule >= 0 && r.Rule < len(m.Rules) {
			row.Place, row.Rule = m.Rules[r.Rule].Place(), m.Rules[r.Rule].Text
		}
		v.Ranges = append(v.Ranges, row)
	}
	return v
}
