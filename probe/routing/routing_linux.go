package routing

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// Examine looks at the rules and at the local table, of IPv4 and, where lo has
// ::1, of IPv6.
func Examine() ([]Problem, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	lo, err := iface.Loopback()
	if err != nil {
		return nil, err
	}
	addresses, err := iface.Addresses()
	if err != nil {
		return nil, err
	}
	onLo := map[bool][]netip.Prefix{}
	for _, a := range addresses {
		if a.Interface == lo.Name {
			onLo[a.Addr.Is6()] = append(onLo[a.Addr.Is6()], netip.PrefixFrom(a.Addr, a.Bits))
		}
	}
	var problems []Problem
	for _, ipv6 := range []bool{false, true} {
		if len(onLo[ipv6]) == 0 {
			continue
		}
		rules, err := readRules(ipv6)
		if err != nil {
			return nil, err
		}
		routes, err := readRoutes(conn, ipv6)
		if err != nil {
			return nil, err
		}
		problems = append(problems, judgeRules(rules, routes, ipv6, uint32(os.Geteuid()))...)
		problems = append(problems, judgeRoutes(routes, ipv6, onLo[ipv6], uint32(lo.MTUBytes))...)
	}
	return problems, nil
}

func familyNumber(ipv6 bool) uint8 {
	if ipv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func named(names map[uint8]string, number uint8) string {
	if name, ok := names[number]; ok {
		return name
	}
	return fmt.Sprint(number)
}

// Types of routes (RTN_*, include/uapi/linux/rtnetlink.h).
var types = map[uint8]string{1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable", 8: "prohibit"}

// readRoutes lists the routes of every table.
func readRoutes(conn *rtnetlink.Conn, ipv6 bool) ([]Route, error) {
	family := familyNumber(ipv6)
	replies, err := conn.Execute(&rtnetlink.RouteMessage{Family: family}, unix.RTM_GETROUTE, netlink.Request|netlink.Dump)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	var routes []Route
	for _, reply := range replies {
		m, ok := reply.(*rtnetlink.RouteMessage)
		if !ok || m.Family != family {
			continue
		}
		r := Route{To: prefixOf(m.Attributes.Dst, int(m.DstLength)), Type: named(types, m.Type)}
		if m.DstLength == 0 {
			r.To = everything(ipv6)
		}
		if !r.To.IsValid() {
			continue
		}
		if r.Table = m.Attributes.Table; r.Table == 0 {
			r.Table = uint32(m.Table)
		}
		if out, err := net.InterfaceByIndex(int(m.Attributes.OutIface)); err == nil {
			r.Interface = out.Name
		}
		if src, ok := netip.AddrFromSlice(m.Attributes.Src); ok {
			r.Source = src.Unmap()
		}
		if m.Attributes.Metrics != nil {
			r.MTUBytes = m.Attributes.Metrics.MTU
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func everything(ipv6 bool) netip.Prefix {
	if ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
