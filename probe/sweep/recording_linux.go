package sweep

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

func text(t uint16, value string) nfnl.Attributes {
	return nfnl.Attributes{{Type: t, Data: append([]byte(value), 0)}}
}

// recording builds the messages that make a recorder.
type recording struct {
	table string
	// hooks are by the beginning of the names of their chains.
	hooks    map[string]uint32
	messages []nfnl.Message
	sets     uint32
	err      error
}

// bucketNumbers is how many numbers of a large sweep one set is for: the kernel
// lists a set in pages, and walks it from its start for each.
const bucketNumbers = 1 << 12

func (r *recording) begin(sweeps []Sweep, room int) ([]nfnl.Message, error) {
	r.add(nfnl.NewTable, netlink.Excl, text(unix.NFTA_TABLE_NAME, r.table))
	for _, set := range records {
		small := room
		var buckets nfnl.Attributes
		for i, s := range sweeps {
			if s.To.Is6() != (set.family == unix.NFPROTO_IPV6) {
				continue
			}
			if n := s.packets(); n > bucketNumbers {
				buckets = append(buckets, r.buckets(set, i, s.Protocol)...)
			} else {
				small += n
			}
		}
		r.set(set.name, set.key, small)
		if len(buckets) > 0 {
			r.verdicts(set.name+"by", buckets)
		}
		for name, hook := range r.hooks {
			r.hook(name+set.name, hook)
			for _, protocol := range []Protocol{TCP, UDP, ICMP} {
				if len(buckets) > 0 {
					r.rule(name+set.name, append(set.tagged(hook, protocol),
						&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: protocol.tagAt() + 2, Len: 2},
						&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: set.name + "by"}))
				}
				r.rule(name+set.name, append(set.tagged(hook, protocol), set.recorded(protocol, set.name)...))
			}
		}
	}
	return r.messages, r.err
}

func (r *recording) add(kind uint8, flags netlink.HeaderFlags, a nfnl.Attributes) {
	b, err := a.Encode()
	if err != nil {
		r.err = err
	}
	r.messages = append(r.messages, nfnl.Message{Type: kind, Flags: netlink.Create | flags, Family: nfnl.FamilyInet, Attributes: b})
}

// newSet begins the attributes of a set.
func (r *recording) newSet(name string, key int, flags uint32) nfnl.Attributes {
	r.sets++
	a := append(text(unix.NFTA_SET_TABLE, r.table), text(unix.NFTA_SET_NAME, name)...)
	return a.WithUint32(unix.NFTA_SET_FLAGS, flags).WithUint32(unix.NFTA_SET_KEY_TYPE, 0).
		WithUint32(unix.NFTA_SET_KEY_LEN, uint32(key)).WithUint32(unix.NFTA_SET_ID, r.sets)
}

// set is one that rules add to, with room for so many elements and a few more: a
// set that is full takes none.
func (r *recording) set(name string, key, elements int) {
	const (
		evaluates = 0x20 // NFT_SET_EVAL
		spare     = 64
	)
	size, err := nfnl.Attributes{}.WithUint32(unix.NFTA_SET_DESC_SIZE, uint32(elements+spare)).Encode()
	if err != nil {
		r.err = err
	}
	a := append(r.newSet(name, key, evaluates), netlink.Attribute{Type: unix.NFTA_SET_DESC | netlink.Nested, Data: size})
	r.add(nfnl.NewSet, netlink.Excl, a)
}

// buckets makes the sets of a large sweep, each with the chain that adds to it,
// and says by which last two bytes of a tag packets come there.
func (r *recording) buckets(set seenSet, sweep int, protocol Protocol) (elements nfnl.Attributes) {
	for bucket := range (1 << 16) / bucketNumbers {
		name := bucketName(set, sweep, bucket)
		r.set(name, set.key, bucketNumbers)
		r.add(nfnl.NewChain, 0, append(text(unix.NFTA_CHAIN_TABLE, r.table), text(unix.NFTA_CHAIN_NAME, name)...))
		r.rule(name, set.recorded(protocol, name))
		const perByte = 1 << 8
		for high := bucket * bucketNumbers / perByte; high < (bucket+1)*bucketNumbers/perByte; high++ {
			elements = append(elements, netlink.Attribute{Type: unix.NFTA_LIST_ELEM | netlink.Nested, Data: r.element([]byte{byte(sweep), byte(high)}, name)})
		}
	}
	return elements
}

func bucketName(set seenSet, sweep, bucket int) string {
	return fmt.Sprintf("%s-%d-%d", set.name, sweep, bucket)
}

// element is one of a map to verdicts, that goes to a chain.
func (r *recording) element(key []byte, chain string) []byte {
	encode := func(a nfnl.Attributes) []byte {
		b, err := a.Encode()
		if err != nil {
			r.err = err
		}
		return b
	}
	const goTo = 0xfffffffc // NFT_GOTO
	verdict := encode(append(nfnl.Attributes{}.WithUint32(unix.NFTA_VERDICT_CODE, goTo), text(unix.NFTA_VERDICT_CHAIN, chain)...))
	return encode(nfnl.Attributes{
		{Type: unix.NFTA_SET_ELEM_KEY | netlink.Nested, Data: encode(nfnl.Attributes{{Type: unix.NFTA_DATA_VALUE, Data: key}})},
		{Type: unix.NFTA_SET_ELEM_DATA | netlink.Nested, Data: encode(nfnl.Attributes{{Type: unix.NFTA_DATA_VERDICT | netlink.Nested, Data: verdict}})},
	})
}

// verdicts is a map of two bytes to where packets go.
func (r *recording) verdicts(name string, elements nfnl.Attributes) {
	const (
		isMap    = 0x8
		verdict  = 0xffffff00 // NFT_DATA_VERDICT
		perBatch = 512
	)
	r.add(nfnl.NewSet, netlink.Excl, r.newSet(name, 2, isMap).WithUint32(unix.NFTA_SET_DATA_TYPE, verdict))
	for len(elements) > 0 {
		n := min(perBatch, len(elements))
		list, err := elements[:n].Encode()
		if err != nil {
			r.err = err
		}
		elements = elements[n:]
		a := append(text(unix.NFTA_SET_ELEM_LIST_TABLE, r.table), text(unix.NFTA_SET_ELEM_LIST_SET, name)...)
		r.add(nfnl.NewElement, 0, append(a, netlink.Attribute{Type: unix.NFTA_SET_ELEM_LIST_ELEMENTS | netlink.Nested, Data: list}))
	}
}

func (r *recording) hook(name string, hook uint32) {
	where, err := nfnl.Attributes{}.WithUint32(unix.NFTA_HOOK_HOOKNUM, hook).
		WithUint32(unix.NFTA_HOOK_PRIORITY, uint32(lastPriority)).Encode()
	if err != nil {
		r.err = err
	}
	a := append(text(unix.NFTA_CHAIN_TABLE, r.table), text(unix.NFTA_CHAIN_NAME, name)...)
	a = append(a, netlink.Attribute{Type: unix.NFTA_CHAIN_HOOK | netlink.Nested, Data: where})
	r.add(nfnl.NewChain, 0, append(a, text(unix.NFTA_CHAIN_TYPE, "filter")...))
}

func (r *recording) rule(chain string, rule []expr.Any) {
	var list nfnl.Attributes
	for _, e := range rule {
		b, err := expr.Marshal(nfnl.FamilyInet, e)
		if err != nil {
			r.err = fmt.Errorf("encode a rule: %w", err)
		}
		list = append(list, netlink.Attribute{Type: unix.NFTA_LIST_ELEM | netlink.Nested, Data: b})
	}
	expressions, err := list.Encode()
	if err != nil {
		r.err = err
	}
	a := append(text(unix.NFTA_RULE_TABLE, r.table), text(unix.NFTA_RULE_CHAIN, chain)...)
	r.add(nfnl.NewRule, netlink.Append, append(a, netlink.Attribute{Type: unix.NFTA_RULE_EXPRESSIONS | netlink.Nested, Data: expressions}))
}

// tagAt is where the tag is in what follows the IP header.
func (p Protocol) tagAt() uint32 {
	if p == UDP {
		return udpBytes
	}
	return tcpSequenceAt // where ICMP has it as well
}

// tagged matches the packets of sweeps. What leaves over lo comes in again. A RST
// is an answer: its sequence number is that which the packet acknowledged.
func (set seenSet) tagged(hook uint32, protocol Protocol) []expr.Any {
	var rule []expr.Any
	if hook == hookPostrouting {
		lo := binary.NativeEndian.AppendUint32(nil, loopbackIndex)
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyOIF, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: lo})
	}
	rule = append(rule,
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{set.family}),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{protocol.number(set.family == unix.NFPROTO_IPV6)}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: protocol.tagAt(), Len: 1}, equals([]byte{tagMark}))
	if protocol == TCP {
		rule = append(rule,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsAt, Len: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{flagRST}, Xor: []byte{0}}, equals([]byte{0}))
	}
	return rule
}

// recorded adds tag, port and destination to a set, and drops the packet.
func (set seenSet) recorded(protocol Protocol, name string) []expr.Any {
	rule := []expr.Any{&expr.Payload{DestRegister: firstRegister, Base: expr.PayloadBaseTransportHeader, Offset: protocol.tagAt(), Len: tagBytes}}
	if protocol == ICMP {
		rule = append(rule, &expr.Immediate{Register: firstRegister + 1, Data: make([]byte, 4)})
	} else {
		rule = append(rule, &expr.Payload{DestRegister: firstRegister + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	}
	return append(rule,
		&expr.Payload{DestRegister: firstRegister + 2, Base: expr.PayloadBaseNetworkHeader, Offset: set.addrAt, Len: set.addrLen},
		&expr.Dynset{SrcRegKey: firstRegister, SetName: name, Operation: unix.NFT_DYNSET_OP_ADD},
		&expr.Verdict{Kind: expr.VerdictDrop})
}

func equals(value []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value} }
