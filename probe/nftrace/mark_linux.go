package nftrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// firstPriority, the least number of 32 bits with a sign, is before everything,
// defragmentation (-400) and the raw table (-300) too; and of two chains with
// one priority the newer comes first.
const firstPriority = 1 << 31

// tableOwned is NFT_TABLE_F_OWNER.
const tableOwned = 2

// markedHooks are hooks of the families ip, ip6 and inet.
var markedHooks = map[string]uint32{"prerouting": unix.NF_INET_PRE_ROUTING, "output": unix.NF_INET_LOCAL_OUT}

// tablesMade keeps the names of this process's tables apart.
var tablesMade atomic.Uint32

// Marking is a table that marks packets for tracing, in one network namespace.
type Marking struct {
	conn *nfnl.Conn
	name string
}

// Mark has packets traced that belong to any of the flows, or all packets where
// none is given, in the calling thread's network namespace, from where they
// first come to netfilter: as they leave a socket, and as they come in through
// an interface. A chain of the netdev family sees what came in before it was
// marked, unless it is over lo, where it is marked on its way out.
//
// Chosen by ports, fragments of a packet after the first are not traced, since
// packets are marked before they are put together.
//
// It makes a table of its own, which the kernel removes when the socket behind
// it is closed: by Close, or with the process (NFT_TABLE_F_OWNER, Linux 5.12).
// The error is a *PermissionError without CAP_NET_ADMIN.
func Mark(flows ...Flow) (*Marking, error) {
	const attempt = "mark packets for tracing"
	if len(flows) == 0 {
		flows = []Flow{{}}
	}
	name := fmt.Sprintf("%s%d_%d", tablePrefix, os.Getpid(), tablesMade.Add(1))
	messages, err := markingMessages(name, flows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attempt, err)
	}
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attempt, err)
	}
	refusals, err := conn.Transact(messages)
	if err == nil && len(refusals) > 0 {
		err = refusals[0].Err
	}
	if err != nil {
		return nil, errors.Join(denied(attempt, err), conn.Close())
	}
	return &Marking{conn: conn, name: name}, nil
}

// Table is the name of the table, in family inet.
func (m *Marking) Table() string { return m.name }

// Close removes the table. Packets that were marked before are still traced.
func (m *Marking) Close() error {
	table, err := text(unix.NFTA_TABLE_NAME, m.name).Encode()
	if err != nil {
		return errors.Join(err, m.conn.Close())
	}
	// Removed by name too, so that it is gone when Close returns: what follows
	// the socket's end runs later.
	refusals, err := m.conn.Transact([]nfnl.Message{{Type: nfnl.DelTable, Family: nfnl.FamilyInet, Attributes: table}})
	if len(refusals) > 0 && !errors.Is(refusals[0].Err, syscall.ENOENT) {
		err = fmt.Errorf("remove table inet %s: %w", m.name, refusals[0].Err)
	}
	return errors.Join(err, m.conn.Close())
}

func denied(attempt string, err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return &PermissionError{Attempt: attempt, Err: err}
	}
	return fmt.Errorf("%s: %w", attempt, err)
}

func markingMessages(name string, flows []Flow) ([]nfnl.Message, error) {
	const create = netlink.Create
	var messages []nfnl.Message
	add := func(kind uint8, flags netlink.HeaderFlags, a nfnl.Attributes) error {
		b, err := a.Encode()
		messages = append(messages, nfnl.Message{Type: kind, Flags: flags, Family: nfnl.FamilyInet, Attributes: b})
		return err
	}
	table := text(unix.NFTA_TABLE_NAME, name).WithUint32(unix.NFTA_TABLE_FLAGS, tableOwned)
	if err := add(nfnl.NewTable, create|netlink.Excl, table); err != nil {
		return nil, err
	}
	for chain, hook := range markedHooks {
		where, err := nfnl.Attributes{}.WithUint32(unix.NFTA_HOOK_HOOKNUM, hook).
			WithUint32(unix.NFTA_HOOK_PRIORITY, firstPriority).Encode()
		if err != nil {
			return nil, err
		}
		a := append(text(unix.NFTA_CHAIN_TABLE, name), text(unix.NFTA_CHAIN_NAME, chain)...)
		a = append(a, netlink.Attribute{Type: unix.NFTA_CHAIN_HOOK | netlink.Nested, Data: where})
		a = append(a, text(unix.NFTA_CHAIN_TYPE, "filter")...)
		if err := add(nfnl.NewChain, create, a); err != nil {
			return nil, err
		}
		for _, flow := range flows {
			expressions, err := flow.expressions()
			if err != nil {
				return nil, err
			}
			a := append(text(unix.NFTA_RULE_TABLE, name), text(unix.NFTA_RULE_CHAIN, chain)...)
			a = append(a, netlink.Attribute{Type: unix.NFTA_RULE_EXPRESSIONS | netlink.Nested, Data: expressions})
			if err := add(nfnl.NewRule, create|netlink.Append, a); err != nil {
				return nil, err
			}
		}
	}
	return messages, nil
}

func text(t uint16, value string) nfnl.Attributes {
	return nfnl.Attributes{{Type: t, Data: append([]byte(value), 0)}}
}

// expressions are those of a rule that marks the flow's packets.
func (f Flow) expressions() ([]byte, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	var rule []expr.Any
	if f.Protocol != 0 {
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{f.Protocol}))
	}
	rule = append(rule, matchAddress(f.Source, 12, 8)...)
	rule = append(rule, matchAddress(f.Destination, 16, 24)...)
	for offset, port := range map[uint32]uint16{0: f.SourcePort, 2: f.DestinationPort} {
		if port != 0 {
			rule = append(rule, &expr.Payload{
				DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2,
			}, equals(binary.BigEndian.AppendUint16(nil, port)))
		}
	}
	rule = append(rule,
		&expr.Immediate{Register: 1, Data: []byte{1}},
		&expr.Meta{Key: expr.MetaKeyNFTRACE, SourceRegister: true, Register: 1})
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

// matchAddress compares an address of the IP header, which lies elsewhere in
// IPv4 (RFC 791) than in IPv6 (RFC 8200).
func matchAddress(network netip.Prefix, offset4, offset6 uint32) []expr.Any {
	if !network.IsValid() {
		return nil
	}
	address := network.Masked().Addr().AsSlice()
	family, offset := byte(nfnl.FamilyIPv6), offset6
	if network.Addr().Is4() {
		family, offset = nfnl.FamilyIPv4, offset4
	}
	size := uint32(len(address))
	mask := make([]byte, size)
	for bit := range network.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		equals(address),
	}
}

func equals(value []byte) *expr.Cmp {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}
}
