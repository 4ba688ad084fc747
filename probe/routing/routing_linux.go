package routing

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// Examine looks at the rules and at the local table, of IPv4 and, where lo has
// ::1, of IPv6.
func Examine() ([]Problem, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
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

// Default is the interface of the machine's default route, that of IPv4 where
// there is one, and otherwise that of IPv6; "" where there is none.
func Default() (name string, err error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return "", fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	for _, ipv6 := range []bool{false, true} {
		routes, err := readRoutes(conn, ipv6)
		if err != nil {
			return "", err
		}
		if name := defaultOf(routes); name != "" {
			return name, nil
		}
	}
	return "", nil
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
var types = map[uint8]string{1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}

// Attributes of routes (RTA_*) and their metrics (RTAX_*,
// include/uapi/linux/rtnetlink.h).
const (
	attrTo            = 1
	attrInterface     = 4
	attrRoutePriority = 6
	attrPrefSrc       = 7
	attrMetrics       = 8
	attrMultipath     = 9
	attrRouteID       = 15 // RTA_TABLE
	metricMTU         = 2
	metricCC          = 16
)

// metricNames are those that ip-route(8) writes with a number, by RTAX_*.
var metricNames = map[uint16]string{
	3: "window", 4: "rtt", 5: "rttvar", 6: "ssthresh", 7: "cwnd", 8: "advmss", 9: "reordering", 10: "hoplimit",
	11: "initcwnd", 13: "rto_min", 14: "initrwnd", 15: "quickack",
}

// routeHeaderBytes is the size of struct rtmsg.
const routeHeaderBytes = 12

// nextHopBytes is the size of struct rtnexthop, which ends with the index of the
// interface.
const nextHopBytes = 8

// readRoutes lists the routes of every table.
func readRoutes(conn *netlink.Conn, ipv6 bool) ([]Route, error) {
	header := make([]byte, routeHeaderBytes)
	header[0] = familyNumber(ipv6)
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request | netlink.Dump}, Data: header,
	})
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	var routes []Route
	for _, reply := range replies {
		if len(reply.Data) < 1 || reply.Data[0] != header[0] {
			continue
		}
		r, err := decodeRoute(reply.Data, ipv6)
		if err != nil {
			return nil, err
		}
		if r.To.IsValid() {
			routes = append(routes, r)
		}
	}
	return routes, nil
}

// decodeRoute reads a message of RTM_NEWROUTE without its netlink header.
func decodeRoute(data []byte, ipv6 bool) (Route, error) {
	if len(data) < routeHeaderBytes {
		return Route{}, fmt.Errorf("a route of %d bytes, which is less than its header", len(data))
	}
	toBits := int(data[1])
	r := Route{Table: uint32(data[4]), Type: named(types, data[7])}
	if toBits == 0 {
		r.To = everything(ipv6)
	}
	attributes, err := netlink.NewAttributeDecoder(data[routeHeaderBytes:])
	if err != nil {
		return Route{}, fmt.Errorf("decode a route: %w", err)
	}
	for attributes.Next() {
		switch attributes.Type() {
		case attrTo:
			r.To = prefixOf(attributes.Bytes(), toBits)
		case attrInterface:
			r.Interface = nameOf(attributes.Uint32())
		case attrRoutePriority:
			r.Priority = attributes.Uint32()
		case attrMultipath:
			if hop := attributes.Bytes(); len(hop) >= nextHopBytes {
				r.Interface = nameOf(binary.NativeEndian.Uint32(hop[4:]))
			}
		case attrPrefSrc:
			if src, ok := netip.AddrFromSlice(attributes.Bytes()); ok {
				r.Source = src.Unmap()
			}
		case attrRouteID:
			r.Table = attributes.Uint32()
		case attrMetrics:
			attributes.Nested(r.decodeMetrics)
		}
	}
	if err := attributes.Err(); err != nil {
		return Route{}, fmt.Errorf("decode a route: %w", err)
	}
	return r, nil
}

// nameOf is the name of the interface with an index; "" where it is gone.
func nameOf(index uint32) string {
	out, err := net.InterfaceByIndex(int(index))
	if err != nil {
		return ""
	}
	return out.Name
}

func (r *Route) decodeMetrics(metrics *netlink.AttributeDecoder) error {
	for metrics.Next() {
		switch name, known := metricNames[metrics.Type()]; {
		case metrics.Type() == metricMTU:
			r.MTUBytes = metrics.Uint32()
		case metrics.Type() == metricCC:
			r.Metrics = append(r.Metrics, Metric{Name: "congctl", Text: metrics.String()})
		case known:
			r.Metrics = append(r.Metrics, Metric{Name: name, Value: metrics.Uint32()})
		}
	}
	return metrics.Err()
}

func everything(ipv6 bool) netip.Prefix {
	if ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
