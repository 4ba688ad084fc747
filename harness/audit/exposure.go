package audit

import (
	"context"
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/exposure"
	"github.com/loopcheck/loopcheck/probe/iface"
)

// exposures finds the services that are bound to every interface, and asks for
// each over the machine's other addresses.
func (a *auditor) exposures(ctx context.Context) ([]exposure.Service, []iface.Own, error) {
	others, err := iface.Others()
	if err != nil {
		return nil, nil, err
	}
	if a.exposed != nil {
		return *a.exposed, others, nil
	}
	found := exposure.Everywhere(a.list.Listeners)
	if err := exposure.Scan(ctx, found, others); err != nil {
		return nil, nil, err
	}
	a.exposed = &found
	return found, others, nil
}

func local(ctx context.Context, a *auditor, c *report.Check) error {
	found, others, err := a.exposures(ctx)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		c.Note("other addresses", "the machine has none now; what listens on every interface will answer on those that it gets")
	} else {
		var names []string
		for _, o := range others {
			names = append(names, o.String())
		}
		c.Note("asked over", "%s (the machine's own packets, which a firewall may treat otherwise than those of others)", strings.Join(names, ", "))
	}
	var risky []string
	services := 0
	for _, e := range found {
		said := fmt.Sprintf("%s: %s", e.Service.Name, describe(e.Listener))
		switch {
		case a.named(e.Listener):
			c.Note("named in the allow-list", "%s", said)
		case len(e.Reached) == 0 && len(e.Refused) > 0:
			c.Note("bound to every interface, but not reached", "%s: %s", said, strings.Join(e.Refused, ", "))
		default:
			services++
			risky = append(risky, risk(e)...)
		}
	}
	if len(risky) > 0 {
		c.Break(check.Warn, "services that ought to be local, but are on every interface, "+counted(services, "listener")+":", risky...)
	}
	return nil
}

// risk says what is open, what may come of it, and what closes it.
func risk(e exposure.Service) []string {
	how := "the machine has no other address to ask over now"
	if len(e.Reached) > 0 {
		how = "reached over " + strings.Join(e.Reached, ", ")
	}
	return []string{
		fmt.Sprintf("  %s: %s: %s", e.Label(), describe(e.Listener), how),
		"    " + e.Service.Reason,
		"    to bind it to loopback: " + e.Service.Bind,
	}
}
