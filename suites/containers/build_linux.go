package containers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// usual is what the settings of every interface are: a new network namespace has
// those of the machine, which may be a router or a hardened server.
var usual = map[string]string{
	"rp_filter": "0", "route_localnet": "0", "arp_ignore": "0", "arp_filter": "0", "arp_announce": "0", "accept_local": "0",
}

// build makes host, bridges, containers and outside of the plan's zones. It runs in
// the zone of the host. Seen is told where that cannot be.
func (p plan) build(ctx context.Context, in *sandbox.Inside, seen *outcome) (err error) {
	if seen.WithoutIPv6, err = stage.LacksIPv6(); err != nil {
		return err
	}
	if err := stage.LiftErrorLimits(); err != nil {
		return err
	}
	for bridge, ports := range p.bridges() {
		err := iface.AddBridge(bridge, ports...)
		if errors.Is(err, syscall.EOPNOTSUPP) {
			seen.Lacks, seen.Found = bridgeDevices.Name, err.Error()
			return nil
		}
		if err != nil {
			return err
		}
		if err := iface.AwaitUp(ctx, bridge); err != nil {
			return err
		}
	}
	for _, zone := range append([]string{host}, p.Zones...) {
		if err := in.Do(zone, setUsual); err != nil {
			return fmt.Errorf("%s: %w", zone, err)
		}
	}
	for _, name := range bridgeCalls {
		if err := sysctl.Set(name, "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	families := []sock.Family{sock.IPv4}
	if seen.WithoutIPv6 == "" {
		families = append(families, sock.IPv6)
	}
	for _, family := range families {
		for bridge := range p.bridges() {
			if err := addRouter(ctx, bridge, gateways[bridge][family]); err != nil {
				return err
			}
		}
		for _, zone := range p.Zones {
			if err := p.address(ctx, in, zone, family); err != nil {
				return fmt.Errorf("%s: %w", zone, err)
			}
		}
		if err := sysctl.Set([]string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"}[family], "1"); err != nil {
			return err
		}
	}
	return nil
}

// setUsual sets what the settings of the calling thread's zone are.
func setUsual() error {
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	of := []string{"all", "default"}
	for _, link := range links {
		of = append(of, link.Name)
	}
	for name, value := range usual {
		for _, of := range of {
			if err := sysctl.Set("net.ipv4.conf."+of+"."+name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// addRouter gives an interface of a router an address. With IPv6 it also gives it
// one of the link, from which the kernel asks for the neighbours that it forwards
// packets to (RFC 4861 7.2.2): that of its own making is not used for the seconds
// in which it may turn out to be a duplicate.
func addRouter(ctx context.Context, name string, address netip.Prefix) error {
	if address.Addr().Is6() {
		if err := iface.Give(name, prefix("fe80::1/64")); err != nil {
			return err
		}
	}
	return stage.AddAddress(ctx, name, address)
}

// address gives the cable of a zone its addresses, and the zone its way to the rest.
func (p plan) address(ctx context.Context, in *sandbox.Inside, zone string, family sock.Family) error {
	own, gateway := outsideOwn[family], hostOutside.of(family)
	if zone == outside {
		if err := addRouter(ctx, uplink, hostOutside[family]); err != nil {
			return err
		}
	} else {
		own, gateway = containersOn[zone][family], gateways[bridgeOf[zone]].of(family)
	}
	return in.Do(zone, func() error {
		if err := stage.AddAddress(ctx, uplink, own); err != nil {
			return err
		}
		if err := stage.AddRoute(uplink, everywhere[family], gateway); err != nil {
			return err
		}
		if !p.Spoofs || zone != outside || family != sock.IPv4 {
			return nil
		}
		return p.spoof()
	})
}

// spoof has the calling thread's zone take 127.0.0.0/8 for a network behind the
// host.
func (p plan) spoof() error {
	if err := iface.Take("lo", prefix("127.0.0.1/8")); err != nil {
		return err
	}
	if err := sysctl.Set("net.ipv4.conf."+uplink+".route_localnet", "1"); err != nil {
		return err
	}
	return stage.AddRoute(uplink, prefix("127.0.0.0/8"), hostOutside.of(sock.IPv4))
}

// enter changes the host as a phase says. It runs in the zone of the host.
func (ph phase) enter(ctx context.Context, seen *outcome) error {
	for _, file := range ph.Rules {
		if err := seen.lacking(ruleset.LoadFile(ctx, file)); err != nil || seen.Lacks != "" {
			return err
		}
	}
	for name, value := range ph.Settings {
		err := sysctl.Set(name, value)
		if errors.Is(err, fs.ErrNotExist) && slices.Contains(bridgeCalls, name) {
			seen.Lacks, seen.Found = bridgedRules.Name, err.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	if ph.Forgets {
		if err := sweep.ForgetConnections(); err != nil {
			return err
		}
	}
	for _, port := range ph.Hairpin {
		if err := iface.SetHairpin(port, true); err != nil {
			return err
		}
	}
	return nil
}
