package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// Running is the Source of maps of a running machine, whose rules nobody read.
const Running = "running machine"

// RunningOptions say what of the running machine is mapped.
type RunningOptions struct {
	// From are the addresses, each of which is a zone; none means all of the
	// machine's own.
	From []string
	// Protocols are TCP, UDP or both.
	Protocols []sock.Kind
	// Progress returns what a scan of so many ports is told of, and what is
	// called at its end. It may be nil.
	Progress func(protocol string, addr netip.Addr, ports int) (add func(ports int), done func())
}

// MapRunning asks every port of the running machine, by package
// portscan, over loopback and at each of its own addresses, in the calling
// thread's network namespace. It changes nothing, and no rule is known: where
// somebody listens and where nobody does, packets are let through.
//
// The errors are those of portscan.Scan, and an UnknownZoneError.
func MapRunning(ctx context.Context, o RunningOptions) (*Maps, error) {
	addresses, err := ownAddresses()
	if err != nil {
		return nil, err
	}
	known := make([]string, len(addresses))
	for i, a := range addresses {
		known[i] = a.String()
	}
	zones := known
	if len(o.From) > 0 {
		if zones, err = chosen(o.From, known, addressName); err != nil {
			return nil, err
		}
	}
	m := &Maps{SchemaVersion: MapSchema, Source: Running, Rules: []Rule{}, Notes: []string{
		"what comes in from outside is not seen: packets to the machine's own addresses go over lo",
		"open and closed ports are both let through; a rule that rejects with a tcp reset, or a datagram with port unreachable, looks like a closed port",
	}}
	for _, zone := range zones {
		addr := netip.MustParseAddr(zone)
		m.Zones = append(m.Zones, Place{Zone: zone, Interface: "lo", From: []netip.Addr{addr}, To: []netip.Addr{addr}})
		for _, protocol := range o.Protocols {
			if err := m.scan(ctx, o, zone, portscan.Options{Protocol: protocol, Addr: addr}); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// addressName is an address as zones write it.
func addressName(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	return addr.Unmap().String()
}

// ownAddresses are those of loopback, and then the machine's others.
func ownAddresses() ([]netip.Addr, error) {
	addresses := []netip.Addr{sock.IPv4.Loopback(0).Addr()}
	if own, _, err := iface.Owns(netip.IPv6Loopback()); err != nil {
		return nil, err
	} else if own {
		addresses = append(addresses, netip.IPv6Loopback())
	}
	others, err := iface.Others()
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if !slices.Contains(addresses, other.Addr) {
			addresses = append(addresses, other.Addr)
		}
	}
	return addresses, nil
}

// scan adds the map of one address and protocol.
func (m *Maps) scan(ctx context.Context, o RunningOptions, zone string, options portscan.Options) error {
	protocol := options.Protocol.String()
	if o.Progress != nil {
		add, done := o.Progress(protocol, options.Addr, everyPort[0].Len())
		defer done()
		options.Progress = add
	}
	result, err := portscan.Scan(ctx, options)
	if err != nil {
		return err
	}
	comparison, err := portscan.Compare(ctx, result)
	if err != nil {
		return err
	}
	full := map[uint16]bool{}
	for _, d := range comparison.Disagreements {
		if d.Backlogged {
			full[d.Port] = true
			m.Notes = append(m.Notes, fmt.Sprintf("%s %s: %s because its listener's accept queue is full; taken for let through", protocol, netip.AddrPortFrom(options.Addr, d.Port), d.Answer.State))
		}
	}
	family := sock.IPv4
	if options.Addr.Is6() {
		family = sock.IPv6
	}
	one := Map{Zone: zone, Protocol: protocol, Family: FamilyName(family)}
	for port := everyPort[0].First; port != 0; port++ {
		answer := result.At(port)
		if full[port] {
			answer = portscan.Answer{State: portscan.Open}
		}
		r, err := answered(answer, options.Addr)
		if err != nil {
			return fmt.Errorf("%s %s: %w", protocol, netip.AddrPortFrom(options.Addr, port), err)
		}
		r.First, r.Last = port, port
		one.add(r)
	}
	m.Maps = append(m.Maps, one)
	return nil
}

// answered is the verdict that a scan's answer tells of.
func answered(a portscan.Answer, to netip.Addr) (Range, error) {
	r := Range{Rule: -1, Local: a.Errno != 0}
	switch a.State {
	case portscan.Open, portscan.Closed:
		r.Verdict = verdict.Verdict{Action: verdict.Accept}
	case portscan.Rejected:
		r.Verdict = verdict.Verdict{Action: verdict.Reject, Kind: a.Kind(to)}
	case portscan.Dropped:
		r.Verdict = verdict.Verdict{Action: verdict.Drop}
	default:
		return r, errors.New("the scan left it out")
	}
	return r, nil
}

// add puts a port behind those that are there, into their range where it is
// alike.
func (m *Map) add(r Range) {
	if n := len(m.Ranges); n > 0 {
		last := m.Ranges[n-1]
		last.First, last.Last = r.First, r.Last
		if last == r {
			m.Ranges[n-1].Last = r.Last
			return
		}
	}
	m.Ranges = append(m.Ranges, r)
}
