package leftovers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// network fills in links, addresses, routes, rules and queueing disciplines of
// the calling thread's namespace; see rtnetlink(7).
func network(areas map[Kind]area) {
	names := interfaceNames{}
	areas[Link] = ask(unix.RTM_GETLINK, []int{unix.AF_UNSPEC}, unix.SizeofIfInfomsg, names.link)
	areas[Address] = ask(unix.RTM_GETADDR, []int{unix.AF_UNSPEC}, unix.SizeofIfAddrmsg, names.address)
	families := []int{unix.AF_INET, unix.AF_INET6}
	areas[Route] = ask(unix.RTM_GETROUTE, families, unix.SizeofRtMsg, names.route)
	areas[Rule] = ask(unix.RTM_GETRULE, families, sizeofRuleHeader, names.rule)
	areas[Qdisc] = ask(unix.RTM_GETQDISC, []int{unix.AF_UNSPEC}, sizeofTcMsg, names.qdisc)
}

const (
	sizeofRuleHeader = 12 // struct fib_rule_hdr, linux/fib_rules.h
	sizeofTcMsg      = 20 // struct tcmsg, linux/rtnetlink.h
	kindRuleProtocol = 21 // FRA_PROTOCOL, linux/fib_rules.h
	kindAddressProto = 11 // IFA_PROTO, linux/if_addr.h
	protoKernelRA    = 2  // IFAPROT_KERNEL_RA, linux/if_addr.h
)

// describe turns the head of a message and its attributes into a key and an
// entry; ok is false for one that is not compared.
type describe func(head []byte, attrs []attribute) (key string, e entry, ok bool)

func ask(messageType uint16, families []int, headSize int, describe describe) area {
	a := newArea()
	for _, family := range families {
		request := make([]byte, headSize)
		request[0] = byte(family)
		messages, err := netlinkAsk(unix.NETLINK_ROUTE, messageType, request, true)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
			continue // a kernel without this family has nothing of it
		}
		if err != nil {
			return blindArea(err.Error())
		}
		for _, m := range messages {
			// Asked for a family it lacks, the kernel may answer for all it has.
			if len(m.Data) < headSize || (family != unix.AF_UNSPEC && m.Data[0] != byte(family)) {
				continue
			}
			if key, e, ok := describe(m.Data[:headSize], attributes(m.Data[headSize:])); ok {
				e.lasting = true
				a.add(key, e)
			}
		}
	}
	return a
}

// interfaceNames are the names by index, filled while links are listed.
type interfaceNames map[uint32]string

func (n interfaceNames) of(index uint32) string {
	if name, ok := n[index]; ok {
		return name
	}
	return fmt.Sprintf("interface %d", index)
}

// linkFlags are the flags that somebody sets; the rest follow the carrier. See
// netdevice(7).
var linkFlags = []struct {
	bit  uint32
	name string
}{
	{unix.IFF_UP, "up"},
	{unix.IFF_BROADCAST, "broadcast"},
	{unix.IFF_DEBUG, "debug"},
	{unix.IFF_LOOPBACK, "loopback"},
	{unix.IFF_POINTOPOINT, "pointopoint"},
	{unix.IFF_NOARP, "noarp"},
	{unix.IFF_PROMISC, "promisc"},
	{unix.IFF_ALLMULTI, "allmulti"},
	{unix.IFF_MULTICAST, "multicast"},
}

func (n interfaceNames) link(head []byte, attrs []attribute) (string, entry, bool) {
	if head[0] != unix.AF_UNSPEC {
		return "", entry{}, false // the same link again, as a port of a bridge
	}
	index := binary.NativeEndian.Uint32(head[4:])
	flags := binary.NativeEndian.Uint32(head[8:])
	var set []string
	for _, f := range linkFlags {
		if flags&f.bit != 0 {
			set = append(set, f.name)
		}
	}
	name := ""
	value := fmt.Sprintf("index %d flags %s", index, strings.Join(set, ","))
	for _, a := range attrs {
		switch a.kind {
		case unix.IFLA_IFNAME:
			name = a.text()
		case unix.IFLA_MTU:
			value += fmt.Sprintf(" mtu %d", a.number())
		case unix.IFLA_QDISC:
			value += " qdisc " + a.text()
		case unix.IFLA_GSO_MAX_SEGS:
			value += fmt.Sprintf(" gso_max_segs %d", a.number())
		case unix.IFLA_GSO_MAX_SIZE:
			value += fmt.Sprintf(" gso_max_size %d", a.number())
		case unix.IFLA_TXQLEN:
			value += fmt.Sprintf(" txqueuelen %d", a.number())
		case unix.IFLA_MASTER:
			value += fmt.Sprintf(" master %d", a.number())
		case unix.IFLA_GROUP:
			value += fmt.Sprintf(" group %d", a.number())
		case unix.IFLA_PROMISCUITY:
			value += fmt.Sprintf(" promiscuity %d", a.number())
		case unix.IFLA_ADDRESS:
			value += fmt.Sprintf(" address %x", a.value)
		}
	}
	n[index] = name
	return name, entry{name: name, value: value}, true
}

// passingAddressFlags come and go while the kernel tries an address out or its
// lifetime runs down.
const passingAddressFlags = unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED

func (n interfaceNames) address(head []byte, attrs []attribute) (string, entry, bool) {
	length, index := head[1], binary.NativeEndian.Uint32(head[4:])
	flags := uint32(head[2])
	var address, peer, label string
	byRouter := false
	for _, a := range attrs {
		switch a.kind {
		case unix.IFA_LOCAL:
			address = ip(a.value)
		case unix.IFA_ADDRESS:
			peer = ip(a.value)
		case unix.IFA_LABEL:
			label = a.text()
		case unix.IFA_FLAGS:
			flags = uint32(a.number())
		case kindAddressProto:
			byRouter = a.number() == protoKernelRA
		}
	}
	// The kernel makes these of router advertisements, and new ones as they age.
	if byRouter || (flags&unix.IFA_F_TEMPORARY != 0 && head[0] == unix.AF_INET6) {
		return "", entry{}, false
	}
	text := address
	switch {
	case address == "":
		text = peer
	case peer != "" && peer != address:
		text += " peer " + peer
	}
	text = fmt.Sprintf("%s/%d on %s", text, length, n.of(index))
	return text, entry{name: text, value: fmt.Sprintf("scope %d flags %#x label %s", head[3], flags&^passingAddressFlags, label)}, true
}

// routeTypes are the kinds of route of rtnetlink(7).
var routeTypes = map[byte]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast",
	unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole",
	unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
}

func (n interfaceNames) route(head []byte, attrs []attribute) (string, entry, bool) {
	protocol := head[5]
	// Cached, or learned from redirects and router advertisements.
	cloned := binary.NativeEndian.Uint32(head[8:])&unix.RTM_F_CLONED != 0
	if cloned || protocol == unix.RTPROT_REDIRECT || protocol == unix.RTPROT_RA {
		return "", entry{}, false
	}
	table := uint64(head[4])
	target, details := "default", ""
	for _, a := range attrs {
		switch a.kind {
		case unix.RTA_DST:
			target = fmt.Sprintf("%s/%d", ip(a.value), head[1])
		case unix.RTA_TABLE:
			table = a.number()
		case unix.RTA_OIF:
			details += " dev " + n.of(uint32(a.number()))
		case unix.RTA_GATEWAY:
			details += " via " + ip(a.value)
		case unix.RTA_PREFSRC:
			details += " src " + ip(a.value)
		case unix.RTA_PRIORITY:
			details += fmt.Sprintf(" metric %d", a.number())
		case unix.RTA_CACHEINFO, unix.RTA_EXPIRES:
			// They count down.
		default:
			details += fmt.Sprintf(" attribute %d=%x", a.kind, a.value)
		}
	}
	text := fmt.Sprintf("%s %s %s%s table %d protocol %d scope %d tos %d",
		familyName(head[0]), routeTypes[head[7]], target, details, table, protocol, head[6], head[3])
	return text, entry{name: text}, true
}

func (n interfaceNames) rule(head []byte, attrs []attribute) (string, entry, bool) {
	table, priority := uint64(head[4]), uint64(0)
	source, target, details := "all", "", ""
	for _, a := range attrs {
		switch a.kind {
		case unix.FRA_SRC:
			source = fmt.Sprintf("%s/%d", ip(a.value), head[2])
		case unix.FRA_DST:
			target = fmt.Sprintf(" to %s/%d", ip(a.value), head[1])
		case unix.FRA_PRIORITY:
			priority = a.number()
		case unix.FRA_TABLE:
			table = a.number()
		case unix.FRA_IIFNAME:
			details += " iif " + a.text()
		case unix.FRA_OIFNAME:
			details += " oif " + a.text()
		case unix.FRA_FWMARK:
			details += fmt.Sprintf(" fwmark %#x", a.number())
		case kindRuleProtocol:
			details += fmt.Sprintf(" protocol %d", a.number())
		default:
			details += fmt.Sprintf(" attribute %d=%x", a.kind, a.value)
		}
	}
	text := fmt.Sprintf("%s %d: from %s%s table %d action %d tos %d flags %#x%s",
		familyName(head[0]), priority, source, target, table, head[7], head[3],
		binary.NativeEndian.Uint32(head[8:])&^unix.FIB_RULE_IIF_DETACHED&^unix.FIB_RULE_OIF_DETACHED, details)
	return text, entry{name: text}, true
}

func (n interfaceNames) qdisc(head []byte, attrs []attribute) (string, entry, bool) {
	index := binary.NativeEndian.Uint32(head[4:])
	handle := binary.NativeEndian.Uint32(head[8:])
	parent := binary.NativeEndian.Uint32(head[12:])
	text := fmt.Sprintf("%x:%x of %s below %x:%x",
		handle>>16, handle&0xffff, n.of(index), parent>>16, parent&0xffff)
	value := ""
	for _, a := range attrs {
		switch a.kind {
		case unix.TCA_KIND:
			value = a.text() + value
		case unix.TCA_OPTIONS:
			value += fmt.Sprintf(" options %x", a.value)
		}
	}
	return text, entry{name: text + ", " + value, value: value}, true
}

func familyName(family byte) string {
	switch family {
	case unix.AF_INET:
		return "ipv4"
	case unix.AF_INET6:
		return "ipv6"
	}
	return fmt.Sprintf("family %d", family)
}

func ip(b []byte) string {
	if address, ok := netip.AddrFromSlice(b); ok {
		return address.String()
	}
	return fmt.Sprintf("%x", b)
}
