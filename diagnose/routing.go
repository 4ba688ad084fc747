package diagnose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/routing"
)

// routingCheck is the check that looks at all of the routing itself.
const routingCheck = "CFG-002"

// examineRouting is a variable so that tests can show machines that this one
// is not.
var examineRouting = routing.Examine

// loopbackRouting finds routing rules and routes that keep what is sent over
// loopback from the machine itself.
func loopbackRouting(_ context.Context, s Symptom) Diagnosis {
	if len(s.Flows) == 0 && s.Check != routingCheck && !s.IPv6 {
		return Diagnosis{}
	}
	problems, err := examineRouting()
	if errors.Is(err, errors.ErrUnsupported) {
		return Diagnosis{}
	}
	if err != nil {
		return Diagnosis{Unseen: []Unseen{{What: "the routing rules", Why: err.Error()}}}
	}
	var d Diagnosis
	for _, p := range problems {
		if s.Check == routingCheck || s.isRoutedBy(p) {
			d.Findings = append(d.Findings, routingFinding(p))
		}
	}
	return d
}

// isRoutedBy says whether a problem of the routing can be what a check met.
func (s Symptom) isRoutedBy(p routing.Problem) bool {
	switch p.Kind {
	case routing.OddSource:
		return s.Check == "ADDR-012"
	case routing.SmallMTU:
		return s.Check == "TCP-083"
	case routing.SlowRoute:
		return !s.Sandboxed && (s.Suite == "tcp" || s.meets(p))
	}
	return s.IPv6 == p.IPv6 && len(s.Flows) == 0 || s.meets(p)
}

// meets says whether what a check sent can come to the rule or route.
func (s Symptom) meets(p routing.Problem) bool {
	return slices.ContainsFunc(s.Flows, func(f Flow) bool {
		if f.To.Addr().Is6() != p.IPv6 {
			return false
		}
		switch p.Kind {
		case routing.RefusingRoute, routing.NoRoute, routing.SlowRoute:
			return p.Route.To.Contains(f.To.Addr())
		case routing.RefusingRule, routing.DivertingRule:
			return (!p.Rule.To.IsValid() || p.Rule.To.Contains(f.To.Addr())) && p.Rule.MeetsPort(f.Protocol, f.To.Port())
		}
		return true
	})
}

func routingFinding(p routing.Problem) Finding {
	ip, host := "ip", "127.0.0.1"
	if p.IPv6 {
		ip, host = "ip -6", "::1"
	}
	route := func(verb string) string {
		return fmt.Sprintf("%s route %s local %s dev lo table local proto kernel scope host src 127.0.0.1", ip, verb, p.Route.To)
	}
	summary := p.String()
	summary = strings.ToUpper(summary[:1]) + summary[1:] + "."
	var id, command string
	switch p.Kind {
	case routing.NoLocalRule:
		id, command = "rule-local-missing", ip+" rule add pref 0 lookup local protocol kernel"
	case routing.LateLocalRule:
		id, command = "rule-local-late", fmt.Sprintf("%s rule add pref 0 lookup local protocol kernel && %s rule del pref %d", ip, ip, p.Rule.Priority)
	case routing.RefusingRule, routing.DivertingRule:
		id, command = fmt.Sprintf("rule-%d", p.Rule.Priority), fmt.Sprintf("%s rule del pref %d", ip, p.Rule.Priority)
	case routing.RefusingRoute:
		id = "route-" + p.Route.Type + "-" + p.Route.To.String()
		command = fmt.Sprintf("%s route del %s %s table local", ip, p.Route.Type, p.Route.To)
		if p.Route.To.String() == "127.0.0.1/32" {
			command = route("replace")
		}
	case routing.NoRoute:
		id, command = "route-missing-"+p.Route.To.String(), route("add")
		switch {
		case p.IPv6:
			command = restoreIPv6
		case p.Route.To.IsSingleIP():
			// The kernel takes no source that is not local yet.
			command = fmt.Sprintf("ip route add local %s dev lo table local && %s", p.Route.To, route("replace"))
		}
	default:
		id, command = "route-local-"+p.Route.To.String(), route("replace")
		if p.IPv6 {
			command = fmt.Sprintf("ip -6 route del local %s dev lo table local && %s", p.Route.To, restoreIPv6)
		}
	}
	return Finding{
		Cause: Cause{
			ID: id, Summary: summary,
			Evidence: []string{fmt.Sprintf("read from the routing rules and the local table (`%s rule`, `%s route show table local`); %s is the machine's own only through them", ip, ip, host)},
		},
		Remedies: []Remedy{{Command: command, Cause: id}},
	}
}
