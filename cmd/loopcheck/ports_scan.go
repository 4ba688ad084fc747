package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// scanOptions are the flags of ports scan.
type scanOptions struct {
	ports     string
	protocols []string
	engine    string
	json      bool
	failOn    []string
}

func newPortsScan(a *app) *cobra.Command {
	var o scanOptions
	cmd := &cobra.Command{
		Use:   "scan [ADDRESS...]",
		Short: "Ask every TCP and UDP port of this machine what it answers",
		Long: `Scan sends to every port of the machine's own addresses, 127.0.0.1 unless told
otherwise, and says which are open, closed, rejected (by which ICMP error) or
dropped. It asks the stack first and holds the answers against the socket table
afterwards: a listener that a firewall hides and a port that answers although
nobody listens there are told as disagreements, with the rule where it can be
found.

TCP is asked by raw SYNs with CAP_NET_RAW, and by connections without it: then a
program that listens is given some, which are reset at once. UDP is asked by
empty datagrams. No open is believed before it was proved by a second answer to
another port.`,
		Example: "  loopcheck ports scan\n  loopcheck ports scan ::1 --protocol tcp\n  loopcheck ports scan --ports 1-1023,62893 --json",
		RunE: func(_ *cobra.Command, args []string) error {
			targets, err := scanTargets(args)
			if err != nil {
				return &usageError{err}
			}
			scans, err := o.scans(targets)
			if err != nil {
				return &usageError{err}
			}
			return a.portsScan(o, scans)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ports, "ports", "1-65535", "only these `PORTS`, such as 1-1023,62893")
	f.StringSliceVar(&o.protocols, "protocol", []string{"tcp", "udp"}, "only these `PROTOCOLS`: tcp, udp")
	f.StringVar(&o.engine, "engine", "auto", "ask TCP by `ENGINE`: raw, connect, or auto for the first that is allowed")
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 when there is one of these `FINDINGS`: disagreement, dropped, rejected")
	return cmd
}

// scanTargets reads the addresses. A name would have to be looked up, which may
// leave the machine, so that localhost alone is known.
func scanTargets(args []string) ([]netip.Addr, error) {
	if len(args) == 0 {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	var targets []netip.Addr
	for _, arg := range args {
		if strings.EqualFold(arg, "localhost") {
			targets = append(targets, sock.IPv4.Loopback(0).Addr())
			if own, _, err := iface.Owns(netip.IPv6Loopback()); err == nil && own {
				targets = append(targets, netip.IPv6Loopback())
			}
			continue
		}
		addr, err := netip.ParseAddr(strings.Trim(arg, "[]"))
		if err != nil {
			return nil, fmt.Errorf("%q is no address: write one of this machine's own, such as 127.0.0.1 or ::1", arg)
		}
		if err := scoped(addr); err != nil {
			return nil, err
		}
		targets = append(targets, addr.Unmap())
	}
	return targets, nil
}

// scoped refuses an address that means nothing without an interface that is
// there (RFC 4007 11).
func scoped(addr netip.Addr) error {
	if !addr.Is6() || !addr.IsLinkLocalUnicast() {
		return nil
	}
	if addr.Zone() == "" {
		return fmt.Errorf("%s is link-local: write its interface as well, such as %s%%eth0", addr, addr)
	}
	if _, err := net.InterfaceByName(addr.Zone()); err != nil {
		return fmt.Errorf("%s: there is no interface %s: write one that `ip link` shows", addr, addr.Zone())
	}
	return nil
}

// scans are what the flags ask for, one an address and protocol.
func (o scanOptions) scans(targets []netip.Addr) ([]portscan.Options, error) {
	ports, err := portset.Parse(o.ports)
	if err != nil {
		return nil, fmt.Errorf("--ports: %w", err)
	}
	if err := oneOf("--engine", o.engine, "auto", "raw", "connect"); err != nil {
		return nil, err
	}
	for _, finding := range o.failOn {
		if err := oneOf("--fail-on", finding, "disagreement", "dropped", "rejected"); err != nil {
			return nil, err
		}
	}
	kinds, err := protocolKinds(o.protocols)
	if err != nil {
		return nil, err
	}
	engine := portscan.Engine(o.engine)
	if o.engine == "auto" {
		engine = portscan.Auto
	}
	var scans []portscan.Options
	for _, target := range targets {
		for _, kind := range kinds {
			scans = append(scans, portscan.Options{Protocol: kind, Addr: target, Ports: ports, Engine: engine})
		}
	}
	return scans, nil
}

// protocolKinds reads the values of --protocol.
func protocolKinds(names []string) ([]sock.Kind, error) {
	var kinds []sock.Kind
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		if slices.Contains(names, kind.String()) {
			kinds = append(kinds, kind)
		}
	}
	for _, name := range names {
		if err := oneOf("--protocol", name, sock.TCP.String(), sock.UDP.String()); err != nil {
			return nil, err
		}
	}
	if len(kinds) == 0 {
		return nil, errors.New("--protocol is empty: write tcp, udp or tcp,udp")
	}
	return kinds, nil
}

// scanned is the outcome of one scan.
type scanned struct {
	*portscan.Result
	*portscan.Comparison
	// Diagnosis is why listeners are hidden, as far as that was found.
	diagnose.Diagnosis
}

func (a *app) portsScan(o scanOptions, scans []portscan.Options) error {
	ctx, stop := interruptible()
	var outcomes []scanned
	for _, options := range scans {
		outcome, err := a.scanOne(ctx, options)
		if own, ok := errors.AsType[*portscan.NotOwnError](err); ok {
			return usagef("%w: write one of its own addresses, such as 127.0.0.1 or ::1 (`loopcheck run` lists them in its report)", own)
		}
		if refused, ok := errors.AsType[*portscan.NotAllowedError](err); ok {
			return usagef("--engine raw: %w: write --engine connect, or run as root", refused)
		}
		if full, ok := errors.AsType[*portscan.ConntrackError](err); ok {
			return usagef("%w: ask fewer ports with --ports, or --protocol tcp alone", full)
		}
		if err != nil {
			return stop.or(err)
		}
		outcomes = append(outcomes, outcome)
	}
	stop.enter(printing)
	printed := printScans(a, o.json, outcomes)
	if err := ignoreClosedPipe(printed); err != nil {
		return err
	}
	for _, outcome := range outcomes {
		if outcome.has(o.failOn) {
			return codeError(exitFailed)
		}
	}
	return nil
}

func (s scanned) has(findings []string) bool {
	return slices.Contains(findings, "disagreement") && len(s.Disagreements) > 0 ||
		slices.Contains(findings, "dropped") && s.Having(portscan.Dropped).Len() > 0 ||
		slices.Contains(findings, "rejected") && s.Having(portscan.Rejected).Len() > 0
}

func (a *app) scanOne(ctx context.Context, options portscan.Options) (scanned, error) {
	total := options.Ports.Len()
	bar := progress.NewBar(a.stderr, a.progressStyle(), fmt.Sprintf("%s %s", options.Protocol, options.Addr), total)
	options.Progress = bar.Add
	defer bar.Close()
	result, err := portscan.Scan(ctx, options)
	if err != nil {
		return scanned{}, err
	}
	comparison, err := portscan.Compare(ctx, result)
	if err != nil {
		return scanned{}, err
	}
	outcome := scanned{Result: result, Comparison: comparison}
	if hidden := hiddenFlows(outcome); len(hidden) > 0 {
		outcome.Diagnosis = diagnose.Find(ctx, diagnose.Symptom{Flows: hidden})
	}
	return outcome, nil
}

// tracedFlows bounds how many hidden listeners are traced through the rules.
// Those behind one rule all say the same.
const tracedFlows = 8

// hiddenFlows is the traffic that did not reach the listeners that the scan did
// not find. What a full backlog keeps out has its cause.
func hiddenFlows(s scanned) []diagnose.Flow {
	var flows []diagnose.Flow
	for _, d := range s.Disagreements {
		if d.Kind == portscan.Hidden && !d.Backlogged && len(flows) < tracedFlows {
			flows = append(flows, diagnose.Flow{Protocol: s.Protocol.String(), To: netip.AddrPortFrom(s.Addr, d.Port)})
		}
	}
	return flows
}
