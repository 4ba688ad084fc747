package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// mapSource is what is mapped: rules, or the running machine.
type mapSource struct {
	rules  string
	from   []string
	uplink string
	live   bool
	// protocols are those of --live; rules are asked about all.
	protocols []string
}

// flags are those of every command that maps.
func (s *mapSource) flags(f *pflag.FlagSet) {
	f.StringVar(&s.rules, "rules", "", "map the rules of `FILE`; live copies this machine's, - reads the standard input")
	f.StringSliceVar(&s.from, "from", nil, "only from these `ZONES`: loopback, outside, or the name of an interface; with --live, addresses")
	f.StringVar(&s.uplink, "uplink", "", "the `INTERFACE` that leads outside, where neither the rules nor this machine's routes tell")
	f.StringSliceVar(&s.protocols, "protocol", nil, "with --live: only these `PROTOCOLS`: tcp, udp")
	f.BoolVar(&s.live, "live", false, "map this running machine, at loopback and at its own addresses, without its rules")
}

// check refuses flags that exclude each other.
func (s *mapSource) check() error {
	switch {
	case s.live && s.rules != "":
		return usagef("--live asks this running machine and --rules asks a copy of rules: write one of them")
	case s.live && s.uplink != "":
		return usagef("--live asks this machine's own addresses: leave out --uplink")
	case s.uplink == "lo" || len(s.uplink) > 15 || strings.ContainsAny(s.uplink, "/: \t"):
		return usagef("--uplink %q is no name of an interface to the outside: write one such as eth0", s.uplink)
	case !s.live && len(s.protocols) > 0:
		return usagef("--protocol is for --live: of rules every protocol is asked")
	}
	return nil
}

// maps makes them. Its errors are the command's.
func (a *app) maps(ctx context.Context, s mapSource) (*firewall.Maps, error) {
	if s.live {
		return a.runningMaps(ctx, s)
	}
	rules, err := readRules(ctx, s.rules)
	if denied, ok := errors.AsType[*ruleset.PermissionError](err); ok {
		return nil, usagef("%w: write --rules FILE, run as root, or ask without the rules by --live", denied)
	}
	if err != nil {
		return nil, err
	}
	maps, err := firewall.Make(ctx, rules, firewall.Options{From: s.from, Uplink: s.uplink})
	return maps, rulesError(err)
}

// runningMaps maps the running machine.
func (a *app) runningMaps(ctx context.Context, s mapSource) (*firewall.Maps, error) {
	if len(s.protocols) == 0 {
		s.protocols = []string{sock.TCP.String(), sock.UDP.String()}
	}
	protocols, err := protocolKinds(s.protocols)
	if err != nil {
		return nil, &usageError{err}
	}
	maps, err := firewall.MapRunning(ctx, firewall.RunningOptions{
		From: s.from, Protocols: protocols,
		Progress: func(protocol string, addr netip.Addr, ports int) (add func(int), done func()) {
			bar := progress.NewBar(a.stderr, a.progressStyle(), fmt.Sprintf("%s %s", protocol, addr), ports)
			return bar.Add, bar.Close
		},
	})
	if full, ok := errors.AsType[*portscan.ConntrackError](err); ok {
		return nil, usagef("%w: ask fewer addresses with --from, or --protocol tcp alone, or again when what was tracked has timed out", full)
	}
	if gone, ok := errors.AsType[*portscan.NotOwnError](err); ok {
		return nil, usagef("%w: it was a moment ago: ask again, or other addresses by --from", gone)
	}
	if unknown, ok := errors.AsType[*firewall.UnknownZoneError](err); ok {
		return nil, &usageError{unknown}
	}
	if err != nil {
		return nil, err
	}
	note := "no rule is named, for that needs root and --rules live"
	if status, err := process.Read(); err == nil && status.Effective.Has(process.NetAdmin) {
		note = "no rule is named: --rules live asks a copy of this machine's rules and names them"
	}
	maps.Notes = append(maps.Notes, note)
	return maps, nil
}
