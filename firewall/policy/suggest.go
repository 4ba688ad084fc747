package policy

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// suggest makes an expectation of each of some packets, with the verdict that the
// loaded rules give it, to be pasted.
func (s *Session) suggest(ctx context.Context, packets []packet) ([]string, error) {
	var sweeps []sweep.Sweep
	for _, p := range packets {
		p.sweep.Ports = []portset.Range{{First: p.number, Last: p.number}}
		sweeps = append(sweeps, p.sweep)
	}
	if len(sweeps) == 0 {
		return nil, nil
	}
	runs, err := s.Ask(ctx, sweeps)
	if err != nil {
		return nil, err
	}
	var suggestions []string
	for i, its := range runs {
		suggestions = append(suggestions, s.expectationYAML(sweeps[i], its[0], 0))
	}
	return suggestions, nil
}

// expectationYAML is an expectation as it stands in a policy.
func (s *Session) expectationYAML(one sweep.Sweep, run sweep.Run, nth uint16) string {
	node := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key, value string) {
		if value != "" {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &yaml.Node{Kind: yaml.ScalarNode, Value: value})
		}
	}
	from := one.Zone
	if from == Machine {
		from = firewall.Loopback
	}
	family := sock.IPv4
	if one.To.Is6() {
		family = sock.IPv6
	}
	to := s.zoneOf(one)
	add("from", from)
	if own := s.sources(Expectation{From: from, To: to}, family); len(own) == 0 || own[0] != one.Source {
		add("source", one.Source.String())
	}
	if to != Machine {
		add("to", to)
	}
	if usual := s.destinations(to, from, nil, family); len(usual) == 0 || usual[0] != one.To {
		add("destination", one.To.String())
	}
	protocol := string(one.Protocol)
	if one.Protocol == sweep.ICMP && family == sock.IPv6 {
		protocol = "icmpv6"
	}
	add("protocol", protocol)
	port := portset.Range{First: run.First, Last: run.First}
	if nth > 0 {
		port = one.Ports[0]
	}
	if one.Protocol == sweep.ICMP {
		add("types", typeText(port, []sock.Family{family}))
	} else {
		add("ports", port.String())
	}
	if one.SourcePort != 0 {
		add("source-port", portset.Range{First: one.SourcePort, Last: one.SourcePort}.String())
	}
	if one.State != sweep.New && one.State != "" {
		add("state", string(one.State))
	}
	if protocol != "icmpv6" {
		add("family", firewall.FamilyName(family))
	}
	if nth > 0 {
		add("packet", portset.Range{First: nth, Last: nth}.String())
	}
	add("verdict", run.Verdict.String())
	if run.Landed.IsValid() && run.Landed.Port() != 0 {
		add("arrives", run.Landed.String())
	}
	var b bytes.Buffer
	if from == elsewhere {
		node.HeadComment = fmt.Sprintf("under zones: %s: {interface: %s}", elsewhere, s.interfaceOf(elsewhere))
	}
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	// A tree of plain text that was made here has no way to fail.
	_ = encoder.Encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{node}})
	return "  " + strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\n", "\n  ")
}

// interfaceOf is the machine's interface to a zone.
func (s *Session) interfaceOf(name string) string {
	i := slices.IndexFunc(s.Policy.Zones, func(z Zone) bool { return z.Name == name })
	if i < 0 {
		return ""
	}
	return s.Policy.Zones[i].Interface
}

// zoneOf is the zone that packets of a sweep go to.
func (s *Session) zoneOf(one sweep.Sweep) string {
	for _, z := range s.Policy.Zones {
		for _, m := range z.Machine {
			if m.Contains(one.To) && m.Addr() != one.To && z.Name != one.Zone {
				return z.Name
			}
		}
	}
	return Machine
}
