package routing

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Actions of rules (FR_ACT_*, include/uapi/linux/fib_rules.h).
var actions = map[uint8]string{1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}

// Attributes of rules (FRA_*, include/uapi/linux/fib_rules.h).
const (
	attrDestination = 1
	attrSource      = 2
	attrIn          = 3
	attrPriority    = 6
	attrMark        = 10
	attrTable       = 15
	attrMask        = 16
	attrOut         = 17
	attrL3Master    = 19
	attrUsers       = 20
	attrProtocol    = 22
	attrSourcePorts = 23
	attrPorts       = 24
)

const (
	// ruleHeaderBytes is the size of struct fib_rule_hdr.
	ruleHeaderBytes = 12
	// inverted is FIB_RULE_INVERT.
	inverted = 2
)

// readRules lists the rules of a family in the order in which they are asked.
func readRules(ipv6 bool) ([]Rule, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	header := make([]byte, ruleHeaderBytes)
	header[0] = familyNumber(ipv6)
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETRULE, Flags: netlink.Request | netlink.Dump}, Data: header,
	})
	if err != nil {
		return nil, fmt.Errorf("list the routing rules: %w", err)
	}
	var rules []Rule
	for _, reply := range replies {
		if len(reply.Data) < 1 || reply.Data[0] != header[0] {
			continue
		}
		r, err := decodeRule(reply.Data)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return rules, nil
}

// decodeRule reads a message of RTM_NEWRULE without its netlink header.
func decodeRule(data []byte) (Rule, error) {
	if len(data) < ruleHeaderBytes {
		return Rule{}, fmt.Errorf("a routing rule of %d bytes, which is less than its header", len(data))
	}
	toBits, fromBits, tos := int(data[1]), int(data[2]), data[3]
	r := Rule{Table: uint32(data[4]), Action: named(actions, data[7])}
	attributes, err := netlink.NewAttributeDecoder(data[ruleHeaderBytes:])
	if err != nil {
		return Rule{}, fmt.Errorf("decode a routing rule: %w", err)
	}
	if binary.NativeEndian.Uint32(data[8:])&inverted != 0 {
		r.Selectors = append(r.Selectors, "not")
	}
	selector := func(format string, args ...any) { r.Selectors = append(r.Selectors, fmt.Sprintf(format, args...)) }
	if tos != 0 {
		selector("tos %#x", tos)
	}
	var mark, mask uint32
	for attributes.Next() {
		raw := attributes.Bytes()
		switch attributes.Type() {
		case attrDestination:
			r.To = prefixOf(raw, toBits)
		case attrSource:
			r.From = prefixOf(raw, fromBits)
		case attrIn:
			r.inFace = attributes.String()
			selector("iif %s", r.inFace)
		case attrOut:
			selector("oif %s", attributes.String())
		case attrPriority:
			r.Priority = attributes.Uint32()
		case attrTable:
			r.Table = attributes.Uint32()
		case attrMark:
			mark = attributes.Uint32()
		case attrMask:
			mask = attributes.Uint32()
		case attrL3Master:
			if attributes.Uint8() != 0 {
				selector("l3mdev")
			}
		case attrUsers:
			if len(raw) == 8 {
				r.byUID, r.uids = true, [2]uint32{binary.NativeEndian.Uint32(raw), binary.NativeEndian.Uint32(raw[4:])}
				selector("uidrange %d-%d", r.uids[0], r.uids[1])
			}
		case attrProtocol:
			r.protocol = attributes.Uint8()
			selector("ipproto %s", protocolName(r.protocol))
		case attrSourcePorts, attrPorts:
			if len(raw) != 4 {
				continue
			}
			ports := [2]uint16{binary.NativeEndian.Uint16(raw), binary.NativeEndian.Uint16(raw[2:])}
			name := "sport"
			if attributes.Type() == attrPorts {
				name, r.ports = "dport", ports
			}
			if ports[0] == ports[1] {
				selector("%s %d", name, ports[0])
			} else {
				selector("%s %d-%d", name, ports[0], ports[1])
			}
		}
	}
	if err := attributes.Err(); err != nil {
		return Rule{}, fmt.Errorf("decode a routing rule: %w", err)
	}
	r.marked = mask != 0
	switch {
	case mask == 0xffffffff:
		selector("fwmark %#x", mark)
	case mask != 0:
		selector("fwmark %#x/%#x", mark, mask)
	}
	return r, nil
}

func protocolName(number uint8) string {
	for name, n := range protocols {
		if n == number {
			return name
		}
	}
	return fmt.Sprint(number)
}

func prefixOf(raw []byte, bits int) netip.Prefix {
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, bits)
}
