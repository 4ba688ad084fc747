package audit

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/services"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// exposure is a service that others may reach.
type exposure struct {
	listeners.Listener
	services.Match
	// reached and refused are the machine's other addresses by what came of
	// asking over them, as text.
	reached, refused []string
}

func (e exposure) String() string {
	return fmt.Sprintf("%s: %s", e.Service.Name, describe(e.Listener))
}

// exposures finds the services that are bound to every interface, and asks for
// each over the machine's other addresses.
func (a *auditor) exposures(ctx context.Context) ([]exposure, []iface.Own, error) {
	others, err := iface.Others()
	if err != nil {
		return nil, nil, err
	}
	if a.exposed != nil {
		return *a.exposed, others, nil
	}
	var found []exposure
	for _, l := range a.list.Listeners {
		if l.Scope != listeners.Every || !l.Address.IsUnspecified() {
			continue
		}
		if m, known := services.Find(l.Process, l.Protocol, l.Port); known {
			found = append(found, exposure{Listener: l, Match: m})
		}
	}
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		for _, other := range others {
			if err := ask(ctx, found, kind, other); err != nil {
				return nil, nil, err
			}
		}
	}
	a.exposed = &found
	return found, others, nil
}

// ask asks for the services of a protocol over one address. That the socket is
// bound to it does not say that it answers there.
func ask(ctx context.Context, found []exposure, kind sock.Kind, over iface.Own) error {
	var ports []uint16
	for _, e := range found {
		if e.Protocol == kind.String() && e.takes(over.Addr) {
			ports = append(ports, e.Port)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	answers, err := portscan.Scan(ctx, portscan.Options{Protocol: kind, Addr: over.Addr, Ports: portset.Ports(ports...)})
	if err != nil {
		return err
	}
	for i := range found {
		e := &found[i]
		if e.Protocol != kind.String() || !e.takes(over.Addr) {
			continue
		}
		if answer := answers.At(e.Port); answer.State == portscan.Open {
			e.reached = append(e.reached, over.String())
		} else {
			e.refused = append(e.refused, fmt.Sprintf("%s over %s", answer.Text(over.Addr), over))
		}
	}
	return nil
}

// takes says whether packets to an address may be the listener's.
func (e exposure) takes(addr netip.Addr) bool {
	return e.Address.Is4() == addr.Is4() || e.Address.Is6() && e.IPv4Too
}

func local(ctx context.Context, a *auditor, c *report.Check) error {
	found, others, err := a.exposures(ctx)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		evidence(c, "other addresses", "the machine has none now; what listens on every interface will answer on those that it gets")
	} else {
		var names []string
		for _, o := range others {
			names = append(names, o.String())
		}
		evidence(c, "asked over", "%s (the machine's own packets, which a firewall may treat otherwise than those of others)", strings.Join(names, ", "))
	}
	var risky []string
	services := 0
	for _, e := range found {
		switch {
		case a.named(e.Listener):
			evidence(c, "named in the allow-list", "%s", e)
		case len(e.reached) == 0 && len(e.refused) > 0:
			evidence(c, "bound to every interface, but not reached", "%s: %s", e, strings.Join(e.refused, ", "))
		default:
			services++
			risky = append(risky, e.risk()...)
		}
	}
	if len(risky) > 0 {
		broken(c, check.Warn, "services that ought to be local, but are on every interface, "+counted(services, "listener")+":", risky)
	}
	return nil
}

// risk says what is open, what may come of it, and what closes it.
func (e exposure) risk() []string {
	how := "the machine has no other address to ask over now"
	if len(e.reached) > 0 {
		how = "reached over " + strings.Join(e.reached, ", ")
	}
	name := e.Service.Name
	if e.By == "port" {
		name += " (by its port)"
	}
	return []string{
		fmt.Sprintf("  %s: %s: %s", name, describe(e.Listener), how),
		"    " + e.Service.Reason,
		"    to bind it to loopback: " + e.Service.Bind,
	}
}
