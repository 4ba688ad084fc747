package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// usableTimeout bounds the wait for an address to be usable, which takes
// microseconds of processor time.
const usableTimeout = 5 * time.Second

// setInside runs in the machine's zone.
func setInside(ctx context.Context, in *sandbox.Inside, o order) (withoutIPv6 string, err error) {
	if err := LiftErrorLimits(); err != nil {
		return "", err
	}
	if withoutIPv6, err = LacksIPv6(); err != nil {
		return "", err
	}
	if err := o.trustSources(); err != nil {
		return "", err
	}
	if o.Forwards {
		if err := sysctl.Set("net.ipv4.ip_forward", "1"); err != nil {
			return "", err
		}
		if withoutIPv6 == "" {
			if err := sysctl.Set("net.ipv6.conf.all.forwarding", "1"); err != nil {
				return "", err
			}
		}
	}
	for _, z := range o.Zones {
		if err := iface.AskNobody(z.Interface); err != nil {
			return "", err
		}
	}
	for _, name := range o.Interfaces {
		if err := iface.AskNobody(name); err != nil {
			return "", err
		}
	}
	for _, own := range o.Own {
		if own.Is6() && withoutIPv6 != "" {
			continue
		}
		if err := AddAddress(ctx, "lo", netip.PrefixFrom(own, own.BitLen())); err != nil {
			return "", err
		}
	}
	for i, z := range o.Zones {
		for _, p := range z.Machine {
			if p.Addr().Is6() && withoutIPv6 != "" {
				continue
			}
			if err := join(ctx, in, z, p); err != nil {
				return "", fmt.Errorf("zone %s: %w", z.Name, err)
			}
			beyond := z.Beyond
			if i == 0 {
				everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
				if p.Addr().Is6() {
					everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
				}
				beyond = append(beyond[:len(beyond):len(beyond)], everything)
			}
			for _, network := range beyond {
				if network.Addr().Is6() != p.Addr().Is6() {
					continue
				}
				if err := AddRoute(z.Interface, network, Host(p)); err != nil {
					return "", fmt.Errorf("zone %s: %w", z.Name, err)
				}
			}
		}
	}
	return withoutIPv6, nil
}

// trustSources lets packets in whatever their source is, where no rule says
// otherwise (rp_filter in Documentation/networking/ip-sysctl.rst).
func (o order) trustSources() error {
	names := []string{"all", "default"}
	for _, z := range o.Zones {
		names = append(names, z.Interface)
	}
	for _, name := range append(names, o.Interfaces...) {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/rp_filter", []byte("0\n"), 0); err != nil {
			return fmt.Errorf("set rp_filter of %s: %w", name, err)
		}
	}
	return nil
}

// join gives the two ends of a zone's cable their addresses, and tells each
// where the other is.
func join(ctx context.Context, in *sandbox.Inside, z Zone, machine netip.Prefix) error {
	if err := AddAddress(ctx, z.Interface, machine); err != nil {
		return err
	}
	far := netip.PrefixFrom(Host(machine), machine.Bits())
	own, err := net.InterfaceByName(z.Interface)
	if err != nil {
		return fmt.Errorf("look for %s: %w", z.Interface, err)
	}
	var theirs net.HardwareAddr
	err = in.Do(z.Name, func() error {
		link, err := net.InterfaceByName(hostInterface)
		if err != nil {
			return fmt.Errorf("look for %s: %w", hostInterface, err)
		}
		theirs = link.HardwareAddr
		if err := AddAddress(ctx, hostInterface, far); err != nil {
			return err
		}
		if err := neighbour(hostInterface, machine.Addr(), own.HardwareAddr); err != nil {
			return err
		}
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if machine.Addr().Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return AddRoute(hostInterface, everything, machine.Addr())
	})
	if err != nil {
		return err
	}
	return neighbour(z.Interface, far.Addr(), theirs)
}

// AddAddress gives an interface of the calling thread's network namespace an
// address and waits until it can be used.
func AddAddress(ctx context.Context, name string, prefix netip.Prefix) error {
	if err := iface.Give(name, prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, usableTimeout)
	defer cancel()
	return iface.AwaitLocal(ctx, prefix.Addr())
}

// AddRoute leads a network over an interface of the calling thread's network
// namespace to a gateway.
func AddRoute(name string, network netip.Prefix, via netip.Addr) error {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("look for %s: %w", name, err)
	}
	m := &rtnetlink.RouteMessage{
		Family: family(via), DstLength: uint8(network.Bits()), Table: unix.RT_TABLE_MAIN,
		Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{Gateway: via.AsSlice(), OutIface: uint32(link.Index)},
	}
	if network.Bits() > 0 {
		m.Attributes.Dst = network.Masked().Addr().AsSlice()
	}
	if err := withRoute(func(conn *rtnetlink.Conn) error { return conn.Route.Add(m) }); err != nil {
		return fmt.Errorf("route %s over %s: %w", network, name, err)
	}
	return nil
}

// neighbour makes an entry that is never asked about again (ip-neighbour(8),
// permanent).
func neighbour(name string, addr netip.Addr, at net.HardwareAddr) error {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("look for %s: %w", name, err)
	}
	err = withRoute(func(conn *rtnetlink.Conn) error {
		return conn.Neigh.New(&rtnetlink.NeighMessage{
			Family: uint16(family(addr)), Index: uint32(link.Index), State: unix.NUD_PERMANENT,
			Attributes: &rtnetlink.NeighAttributes{Address: addr.AsSlice(), LLAddress: at},
		})
	})
	if err != nil {
		return fmt.Errorf("tell %s where %s is: %w", name, addr, err)
	}
	return nil
}

func family(addr netip.Addr) uint8 {
	if addr.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func withRoute(use func(*rtnetlink.Conn) error) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	return errors.Join(use(conn), conn.Close())
}

// LiftErrorLimits lets every ICMP error go out that a rule asks for, in the
// calling thread's network namespace. Elsewhere than on lo the kernel sends only
// some (icmp_ratelimit in Documentation/networking/ip-sysctl.rst).
func LiftErrorLimits() error {
	for _, setting := range []struct{ name, value string }{
		// With no type in the mask, the limit for all addresses together,
		// which the machine's namespaces may share, holds for none either.
		{"net/ipv4/icmp_ratemask", "0"},
		{"net/ipv6/icmp/ratelimit", "0"},
		{"net/ipv6/icmp/ratemask", ""},
	} {
		err := os.WriteFile("/proc/sys/"+setting.name, []byte(setting.value+"\n"), 0)
		ipv6 := strings.HasPrefix(setting.name, "net/ipv6/") // which may be off
		if err != nil && !(ipv6 && errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("set %s to %q: %w", strings.ReplaceAll(setting.name, "/", "."), setting.value, err)
		}
	}
	return nil
}

// LacksIPv6 says why there is no IPv6 in the calling thread's network namespace,
// which is a new one; "" where there is.
func LacksIPv6() (why string, err error) {
	switch probe, err := sock.New(sock.UDP, sock.IPv6); {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return "the kernel has no IPv6 sockets", nil
	case err != nil:
		return "", err
	default:
		_ = probe.Close() // it was never used
	}
	for _, name := range []string{"lo", "default"} {
		setting := "net.ipv6.conf." + name + ".disable_ipv6"
		value, err := sysctl.Read(setting)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "the kernel has no IPv6", nil
		case err != nil:
			return "", err
		case value == "1":
			return setting + " is 1 in a new network namespace", nil
		}
	}
	return "", nil
}
