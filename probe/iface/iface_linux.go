package iface

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// loopbackIndex is that of lo in every network namespace (LOOPBACK_IFINDEX,
// include/net/flow.h).
const loopbackIndex = 1

// Loopback describes the loopback interface.
func Loopback() (Link, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return Link{}, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	m, err := link(conn, loopbackIndex)
	if err != nil {
		return Link{}, err
	}
	l := describe(m)
	l.GSOMaxSegments, l.GSOMaxBytes, err = segmentation(loopbackIndex)
	return l, err
}

// Others returns the machine's addresses on interfaces other than the loopback
// one, those of IPv4 first. Left out are addresses that nothing can be bound
// to yet or at all (the interface is down, or duplicate address detection has
// not ended well), those that lo has as well, link-local ones of IPv6, which
// mean nothing without their interface, and those in a VRF, which have routing
// tables of their own (Documentation/networking/vrf.rst).
func Others() ([]Own, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	addresses, err := list(conn)
	if err != nil {
		return nil, err
	}
	onLo := map[netip.Addr]bool{}
	for _, a := range addresses {
		onLo[a.addr] = onLo[a.addr] || a.index == loopbackIndex
	}
	var others []Own
	for _, a := range addresses {
		if onLo[a.addr] || !a.usable || a.addr.IsLoopback() || a.addr.IsLinkLocalUnicast() && a.addr.Is6() {
			continue
		}
		m, err := link(conn, a.index)
		if err != nil {
			return nil, err
		}
		if m.Flags&unix.IFF_UP == 0 {
			continue
		}
		inVRF, err := belongsToVRF(conn, m)
		if err != nil {
			return nil, err
		}
		if !inVRF {
			others = append(others, Own{Addr: a.addr, Interface: m.Attributes.Name})
		}
	}
	return others, nil
}

// Addresses returns every address of every interface, those of lo among them,
// in the kernel's order, IPv4 first. An interface that vanished meanwhile is
// left out.
func Addresses() ([]Assigned, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	addresses, err := list(conn)
	if err != nil {
		return nil, err
	}
	names := map[uint32]string{}
	var all []Assigned
	for _, a := range addresses {
		name, asked := names[a.index]
		if !asked {
			m, err := link(conn, a.index)
			if err != nil && !errors.Is(err, unix.ENODEV) {
				return nil, err
			}
			if err == nil {
				name = m.Attributes.Name
			}
			names[a.index] = name
		}
		if name != "" {
			all = append(all, Assigned{Addr: a.addr, Broadcast: a.broadcast, Bits: a.bits, Interface: name})
		}
	}
	return all, nil
}

// RouteTo asks how a packet to the address would be sent; none is (RTM_GETROUTE,
// rtnetlink(7)). The error wraps ENETUNREACH where there is no way.
func RouteTo(to netip.Addr) (Route, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return Route{}, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	family := uint8(unix.AF_INET)
	if to.Is6() {
		family = unix.AF_INET6
	}
	replies, err := conn.Execute(&rtnetlink.RouteMessage{
		Family:     family,
		DstLength:  uint8(to.BitLen()),
		Attributes: rtnetlink.RouteAttributes{Dst: to.AsSlice()},
	}, unix.RTM_GETROUTE, netlink.Request)
	if err != nil {
		return Route{}, fmt.Errorf("ask for the route to %s: %w", to, err)
	}
	for _, reply := range replies {
		if m, ok := reply.(*rtnetlink.RouteMessage); ok {
			out, err := link(conn, m.Attributes.OutIface)
			if err != nil {
				return Route{}, err
			}
			return Route{Local: m.Type == unix.RTN_LOCAL, Interface: out.Attributes.Name}, nil
		}
	}
	return Route{}, fmt.Errorf("ask for the route to %s: the kernel's answer holds none", to)
}

func link(conn *rtnetlink.Conn, index uint32) (*rtnetlink.LinkMessage, error) {
	replies, err := conn.Execute(&rtnetlink.LinkMessage{Index: index}, unix.RTM_GETLINK, netlink.Request)
	if err != nil {
		return nil, fmt.Errorf("ask for interface %d: %w", index, err)
	}
	for _, reply := range replies {
		if m, ok := reply.(*rtnetlink.LinkMessage); ok && m.Attributes != nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("ask for interface %d: the kernel's answer holds none", index)
}

func describe(m *rtnetlink.LinkMessage) Link {
	l := Link{
		Name:     m.Attributes.Name,
		Up:       m.Flags&unix.IFF_UP != 0,
		State:    State(m.Attributes.OperationalState),
		MTUBytes: int(m.Attributes.MTU),
		Qdisc:    m.Attributes.QueueDisc,
	}
	if stats := m.Attributes.Stats64; stats != nil {
		l.SentBytes = stats.TXBytes
	}
	return l
}

func belongsToVRF(conn *rtnetlink.Conn, m *rtnetlink.LinkMessage) (bool, error) {
	if isVRF(m) || m.Attributes.Master == nil {
		return isVRF(m), nil
	}
	master, err := link(conn, *m.Attributes.Master)
	if err != nil {
		return false, err
	}
	return isVRF(master), nil
}

func isVRF(m *rtnetlink.LinkMessage) bool {
	return m.Attributes.Info != nil && m.Attributes.Info.Kind == "vrf"
}

type address struct {
	addr, broadcast netip.Addr
	index           uint32
	bits            int
	usable          bool
}

// list returns the addresses of both families. It asks for each by itself: of
// other families the kernel would send addresses that are none of IP.
func list(conn *rtnetlink.Conn) ([]address, error) {
	var all []address
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		replies, err := conn.Execute(&rtnetlink.AddressMessage{Family: family}, unix.RTM_GETADDR, netlink.Request|netlink.Dump)
		if err != nil {
			return nil, fmt.Errorf("list the addresses of the machine: %w", err)
		}
		for _, reply := range replies {
			m, ok := reply.(*rtnetlink.AddressMessage)
			if !ok || m.Attributes == nil || m.Family != family {
				continue
			}
			if addr, ok := netip.AddrFromSlice(ownEnd(m.Attributes)); ok {
				all = append(all, address{addr, broadcastOf(m), m.Index, int(m.PrefixLength), isUsable(m.Attributes.Flags)})
			}
		}
	}
	return all, nil
}

// ownEnd is the machine's own address. Of a point-to-point interface IFA_ADDRESS
// is the peer's, and IFA_LOCAL the own one (include/uapi/linux/if_addr.h).
func ownEnd(a *rtnetlink.AddressAttributes) net.IP {
	if a.Local != nil {
		return a.Local
	}
	return a.Address
}

// broadcastOf is where packets to all of an address's network go: where the
// address was given, or where it was not, the last of the network, to which the
// kernel makes a broadcast route in any case (fib_add_ifaddr,
// net/ipv4/fib_frontend.c).
func broadcastOf(m *rtnetlink.AddressMessage) netip.Addr {
	if given, ok := netip.AddrFromSlice(m.Attributes.Broadcast); ok {
		return given
	}
	network, ok := netip.AddrFromSlice(m.Attributes.Address)
	if !ok || !network.Is4() || network.IsLoopback() || m.PrefixLength >= 31 {
		return netip.Addr{}
	}
	last := network.As4()
	binary.BigEndian.PutUint32(last[:], binary.BigEndian.Uint32(last[:])|math.MaxUint32>>m.PrefixLength)
	return netip.AddrFrom4(last)
}

// isUsable says whether duplicate address detection lets the address be bound
// to (RFC 4862 5.4; RFC 4429 for optimistic ones).
func isUsable(flags uint32) bool {
	if flags&unix.IFA_F_DADFAILED != 0 {
		return false
	}
	return flags&unix.IFA_F_TENTATIVE == 0 || flags&unix.IFA_F_OPTIMISTIC != 0
}
