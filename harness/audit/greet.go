package audit

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/services"
)

// needProbe is how to have services asked.
var needProbe = check.Need{
	Name: "--probe",
	How:  "allow each well-known service to be sent one harmless request: `loopcheck ports audit --probe`",
}

func greet(ctx context.Context, a *auditor, c *report.Check) error {
	if !a.options.Probe {
		c.SkipFor(needProbe, "services are not asked without it")
		return nil
	}
	reached := map[netip.AddrPort]bool{}
	found, _, err := a.exposures(ctx)
	if err != nil {
		return err
	}
	for _, e := range found {
		reached[e.AddrPort()] = reached[e.AddrPort()] || len(e.Reached) > 0
	}
	var open []string
	state := check.Warn
	asked := map[netip.AddrPort]bool{}
	for _, l := range a.list.Listeners {
		m, known := services.Find(l.Process, l.Protocol, l.Port)
		at := askAt(l)
		if !known || !m.Service.CanAsk() || asked[at] {
			continue
		}
		asked[at] = true
		g, err := m.Service.Ask(ctx, at)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil:
			c.Note(m.Service.Name, "%s: %v", at, err)
			continue
		case g.Openness != services.Open:
			c.Note(m.Service.Name, "%s: %s: asked %s, answered %s", at, g.Openness, g.Asked, g.Seen)
			continue
		}
		c.Note(m.Service.Name, "%s: answered without authentication: asked %s, answered %s", at, g.Asked, g.Seen)
		where := "on loopback alone"
		if reached[l.AddrPort()] || l.Scope == listeners.Interface {
			state, where = check.Fail, "and other machines may reach it"
		}
		open = append(open,
			fmt.Sprintf("  %s: %s: it answered %s without authentication, %s", m.Service.Name, describe(l), g.Asked, where),
			"    "+m.Service.Reason,
			"    to have it ask: "+m.Service.Authenticate,
		)
	}
	c.Note("services asked", "%d", len(asked))
	if len(open) > 0 {
		c.Break(state, "services that answer anybody, "+counted(len(open)/3, "listener")+":", open...)
	}
	return nil
}

// askAt is the address to ask a listener at: of those that a wildcard stands
// for, the loopback one.
func askAt(l listeners.Listener) netip.AddrPort {
	addr := l.Address
	switch {
	case addr == netip.IPv4Unspecified():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case addr == netip.IPv6Unspecified():
		addr = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(addr, l.Port)
}
