package sweep

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Table is the name of the table that records, in family inet; it is there
// during a call of Ask alone.
const Table = "loopcheck_sweep"

// lastPriority is after everything but what confirms connections (NF_IP_PRI_
// CONNTRACK_CONFIRM in linux/netfilter_ipv4.h).
const lastPriority = math.MaxInt32 - 1

const (
	hookInput       = 1
	hookPostrouting = 4
	loopbackIndex   = 1
	// Register 8 is the first of those of four bytes (NFT_REG32_00).
	firstRegister = 8
)

// recorder is the set and the chains that record what was let through.
type recorder struct{ conn *nfnl.Conn }

// record is a set of one family.
type record struct {
	name    string
	family  byte
	key     int
	addrAt  uint32
	addrLen uint32
}

var records = []record{
	{"seen4", unix.NFPROTO_IPV4, 12, 16, 4},
	{"seen6", unix.NFPROTO_IPV6, 24, 24, 16},
}

// startRecording puts the chains at the end of the machine's hooks, in the
// calling thread's network namespace. There is room for so many packets: a set
// that is full takes no more.
func startRecording(packets int) (*recorder, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	r := &recorder{conn}
	messages, err := recordingMessages(packets)
	if err == nil {
		err = r.transact(messages)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("record what is let through: %w", err)
	}
	return r, nil
}

func (r *recorder) transact(messages []nfnl.Message) error {
	size := 0
	for _, m := range messages {
		size += m.Size()
	}
	if _, err := r.conn.Room(size); err != nil {
		return err
	}
	refusals, err := r.conn.Transact(messages)
	if err == nil && len(refusals) > 0 {
		return refusals[0].Err
	}
	return err
}

func (r *recorder) close() error {
	table, err := text(unix.NFTA_TABLE_NAME, Table).Encode()
	if err != nil {
		return err
	}
	err = r.transact([]nfnl.Message{{Type: nfnl.DelTable, Family: nfnl.FamilyInet, Attributes: table}})
	_ = r.conn.Close()
	return err
}

func text(t uint16, value string) nfnl.Attributes {
	return nfnl.Attributes{{Type: t, Data: append([]byte(value), 0)}}
}

func recordingMessages(packets int) ([]nfnl.Message, error) {
	var messages []nfnl.Message
	var failed error
	add := func(kind uint8, flags netlink.HeaderFlags, a nfnl.Attributes) {
		b, err := a.Encode()
		if err != nil {
			failed = err
		}
		messages = append(messages, nfnl.Message{Type: kind, Flags: netlink.Create | flags, Family: nfnl.FamilyInet, Attributes: b})
	}
	add(nfnl.NewTable, netlink.Excl, text(unix.NFTA_TABLE_NAME, Table))
	for i, set := range records {
		const (
			evaluates = 0x20 // NFT_SET_EVAL
			spare     = 64
		)
		size, err := nfnl.Attributes{}.WithUint32(unix.NFTA_SET_DESC_SIZE, uint32(packets+spare)).Encode()
		if err != nil {
			return nil, err
		}
		a := append(text(unix.NFTA_SET_TABLE, Table), text(unix.NFTA_SET_NAME, set.name)...)
		a = a.WithUint32(unix.NFTA_SET_FLAGS, evaluates).WithUint32(unix.NFTA_SET_KEY_TYPE, 0).
			WithUint32(unix.NFTA_SET_KEY_LEN, uint32(set.key)).WithUint32(unix.NFTA_SET_ID, uint32(i+1))
		a = append(a, netlink.Attribute{Type: unix.NFTA_SET_DESC | netlink.Nested, Data: size})
		add(nfnl.NewSet, netlink.Excl, a)
	}
	for name, hook := range map[string]uint32{"arrived": hookInput, "left": hookPostrouting} {
		where, err := nfnl.Attributes{}.WithUint32(unix.NFTA_HOOK_HOOKNUM, hook).
			WithUint32(unix.NFTA_HOOK_PRIORITY, uint32(lastPriority)).Encode()
		if err != nil {
			return nil, err
		}
		a := append(text(unix.NFTA_CHAIN_TABLE, Table), text(unix.NFTA_CHAIN_NAME, name)...)
		a = append(a, netlink.Attribute{Type: unix.NFTA_CHAIN_HOOK | netlink.Nested, Data: where})
		a = append(a, text(unix.NFTA_CHAIN_TYPE, "filter")...)
		add(nfnl.NewChain, 0, a)
		for _, set := range records {
			for _, protocol := range []Protocol{TCP, UDP, ICMP} {
				expressions, err := set.rule(hook, protocol)
				if err != nil {
					return nil, err
				}
				a := append(text(unix.NFTA_RULE_TABLE, Table), text(unix.NFTA_RULE_CHAIN, name)...)
				a = append(a, netlink.Attribute{Type: unix.NFTA_RULE_EXPRESSIONS | netlink.Nested, Data: expressions})
				add(nfnl.NewRule, netlink.Append, a)
			}
		}
	}
	return messages, failed
}

// rule records tag, port and destination of a packet of a sweep, and drops it.
// What leaves over lo comes in again.
func (set record) rule(hook uint32, protocol Protocol) ([]byte, error) {
	tagAt := uint32(tcpSequenceAt)
	if protocol == UDP {
		tagAt = udpBytes
	}
	var rule []expr.Any
	if hook == hookPostrouting {
		lo := binary.NativeEndian.AppendUint32(nil, loopbackIndex)
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyOIF, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: lo})
	}
	rule = append(rule,
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{set.family}),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{protocol.number(set.family == unix.NFPROTO_IPV6)}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tagAt, Len: 1}, equals([]byte{tagMark}),
		&expr.Payload{DestRegister: firstRegister, Base: expr.PayloadBaseTransportHeader, Offset: tagAt, Len: tagBytes})
	if protocol == ICMP {
		rule = append(rule, &expr.Immediate{Register: firstRegister + 1, Data: make([]byte, 4)})
	} else {
		rule = append(rule, &expr.Payload{DestRegister: firstRegister + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	}
	rule = append(rule,
		&expr.Payload{DestRegister: firstRegister + 2, Base: expr.PayloadBaseNetworkHeader, Offset: set.addrAt, Len: set.addrLen},
		&expr.Dynset{SrcRegKey: firstRegister, SetName: set.name, Operation: unix.NFT_DYNSET_OP_ADD},
		&expr.Verdict{Kind: expr.VerdictDrop})
	var list nfnl.Attributes
	for _, e := range rule {
		b, err := expr.Marshal(nfnl.FamilyInet, e)
		if err != nil {
			return nil, fmt.Errorf("encode a rule: %w", err)
		}
		list = append(list, netlink.Attribute{Type: unix.NFTA_LIST_ELEM | netlink.Nested, Data: b})
	}
	return list.Encode()
}

func equals(value []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value} }

// seen hands out what was recorded: the packet's tag, and where it came to.
func (r *recorder) seen(ctx context.Context, add func(sweep int, number uint16, at netip.AddrPort)) error {
	for _, set := range records {
		a, err := append(text(unix.NFTA_SET_ELEM_LIST_TABLE, Table), text(unix.NFTA_SET_ELEM_LIST_SET, set.name)...).Encode()
		if err != nil {
			return err
		}
		m := nfnl.Message{Type: nfnl.GetElement, Family: nfnl.FamilyInet, Attributes: a}
		err = r.conn.List(ctx, m, func(_ uint8, attributes []byte) error {
			list := attribute(attributes, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			eachAttribute(list, func(_ uint16, element []byte) {
				key := attribute(attribute(element, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
				if len(key) < set.key {
					return
				}
				sweep, number, ok := readTag(key)
				addr, _ := netip.AddrFromSlice(key[8 : 8+set.addrLen])
				if ok {
					add(sweep, number, netip.AddrPortFrom(addr, binary.BigEndian.Uint16(key[4:])))
				}
			})
			return nil
		})
		if err != nil {
			return fmt.Errorf("read what was let through: %w", err)
		}
	}
	return nil
}

// eachAttribute goes through attributes without copying them: there are many.
func eachAttribute(b []byte, each func(t uint16, data []byte)) {
	const header, alignment = 4, 4
	for len(b) >= header {
		length := int(binary.NativeEndian.Uint16(b))
		if length < header || length > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&^uint16(netlink.Nested|netlink.NetByteOrder), b[header:length])
		b = b[min((length+alignment-1)/alignment*alignment, len(b)):]
	}
}

func attribute(b []byte, t uint16) (found []byte) {
	eachAttribute(b, func(its uint16, data []byte) {
		if its == t && found == nil {
			found = data
		}
	})
	return found
}
