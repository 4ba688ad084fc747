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
type recorder struct {
	conn   *nfnl.Conn
	sweeps []Sweep
	// next is the first number of a sweep that was not given out yet, and room
	// how many more packets there is room for, of one that is kept.
	next, room int
	kept       bool
}

// keptRoom is how many packets one that is kept has room for, at least: what
// was recorded before is listed again each time.
const keptRoom = 8 << 10

// kept records small sweeps, call after call: to remove chains the kernel waits
// for all processors, for ten milliseconds and more.
var kept *recorder

// record returns a recorder for sweeps and the number of the first of them.
func record(sweeps []Sweep) (r *recorder, base int, err error) {
	packets, large := 0, false
	for _, s := range sweeps {
		n := s.packets()
		packets += n
		large = large || n > bucketNumbers
	}
	if kept != nil && (large || kept.room < packets || kept.next+len(sweeps) > maxSweeps) {
		if err := endKept(); err != nil {
			return nil, 0, err
		}
	}
	if large {
		r, err = startRecording(sweeps, 0)
		return r, 0, err
	}
	if kept == nil {
		room := max(keptRoom, packets)
		if r, err = startRecording(nil, room); err != nil {
			return nil, 0, err
		}
		r.kept, r.room, kept = true, room, r
	}
	base = kept.next
	kept.next += len(sweeps)
	kept.room -= packets
	return kept, base, nil
}

func endKept() error {
	if kept == nil {
		return nil
	}
	err := kept.close()
	kept = nil
	return err
}

func stopInside() error {
	asking.Lock()
	defer asking.Unlock()
	return endKept()
}

// release ends a recorder, unless it is kept.
func (r *recorder) release() error {
	if r.kept {
		return nil
	}
	return r.close()
}

// seenSet is a set of one family.
type seenSet struct {
	name    string
	family  byte
	key     int
	addrAt  uint32
	addrLen uint32
}

var records = []seenSet{
	{"seen4", unix.NFPROTO_IPV4, 12, 16, 4},
	{"seen6", unix.NFPROTO_IPV6, 24, 24, 16},
}

// startRecording puts the chains at the end of the machine's hooks, in the
// calling thread's network namespace. Beside those of the sweeps that are large
// there is room for so many packets.
func startRecording(sweeps []Sweep, room int) (*recorder, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	r := &recorder{conn: conn, sweeps: sweeps}
	messages, err := recordingMessages(sweeps, room)
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

// recording builds the messages that make a recorder.
type recording struct {
	messages []nfnl.Message
	sets     uint32
	err      error
}

// bucketNumbers is how many numbers of a large sweep one set is for: the kernel
// lists a set in pages, and walks it from its start for each.
const bucketNumbers = 1 << 12

func recordingMessages(sweeps []Sweep, room int) ([]nfnl.Message, error) {
	r := &recording{}
	r.add(nfnl.NewTable, netlink.Excl, text(unix.NFTA_TABLE_NAME, Table))
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
		for name, hook := range map[string]uint32{"arrived": hookInput, "left": hookPostrouting} {
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
	a := append(text(unix.NFTA_SET_TABLE, Table), text(unix.NFTA_SET_NAME, name)...)
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
		r.add(nfnl.NewChain, 0, append(text(unix.NFTA_CHAIN_TABLE, Table), text(unix.NFTA_CHAIN_NAME, name)...))
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
		a := append(text(unix.NFTA_SET_ELEM_LIST_TABLE, Table), text(unix.NFTA_SET_ELEM_LIST_SET, name)...)
		r.add(nfnl.NewElement, 0, append(a, netlink.Attribute{Type: unix.NFTA_SET_ELEM_LIST_ELEMENTS | netlink.Nested, Data: list}))
	}
}

func (r *recording) hook(name string, hook uint32) {
	where, err := nfnl.Attributes{}.WithUint32(unix.NFTA_HOOK_HOOKNUM, hook).
		WithUint32(unix.NFTA_HOOK_PRIORITY, uint32(lastPriority)).Encode()
	if err != nil {
		r.err = err
	}
	a := append(text(unix.NFTA_CHAIN_TABLE, Table), text(unix.NFTA_CHAIN_NAME, name)...)
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
	a := append(text(unix.NFTA_RULE_TABLE, Table), text(unix.NFTA_RULE_CHAIN, chain)...)
	r.add(nfnl.NewRule, netlink.Append, append(a, netlink.Attribute{Type: unix.NFTA_RULE_EXPRESSIONS | netlink.Nested, Data: expressions}))
}

// tagAt is where the tag is in what follows the IP header.
func (p Protocol) tagAt() uint32 {
	if p == UDP {
		return udpBytes
	}
	return tcpSequenceAt // where ICMP has it as well
}

// tagged matches the packets of sweeps. What leaves over lo comes in again.
func (set seenSet) tagged(hook uint32, protocol Protocol) []expr.Any {
	var rule []expr.Any
	if hook == hookPostrouting {
		lo := binary.NativeEndian.AppendUint32(nil, loopbackIndex)
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyOIF, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: lo})
	}
	return append(rule,
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{set.family}),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{protocol.number(set.family == unix.NFPROTO_IPV6)}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: protocol.tagAt(), Len: 1}, equals([]byte{tagMark}))
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

// seen hands out what was recorded: the packet's tag, and where it came to.
func (r *recorder) seen(ctx context.Context, add func(sweep int, number uint16, at netip.AddrPort)) error {
	for _, set := range records {
		names := []string{set.name}
		for i, s := range r.sweeps {
			if s.To.Is6() != (set.family == unix.NFPROTO_IPV6) || s.packets() <= bucketNumbers {
				continue
			}
			for bucket := range (1 << 16) / bucketNumbers {
				names = append(names, bucketName(set, i, bucket))
			}
		}
		for _, name := range names {
			if err := r.list(ctx, set, name, add); err != nil {
				return fmt.Errorf("read what was let through: %w", err)
			}
		}
	}
	return nil
}

func (r *recorder) list(ctx context.Context, set seenSet, name string, add func(sweep int, number uint16, at netip.AddrPort)) error {
	a, err := append(text(unix.NFTA_SET_ELEM_LIST_TABLE, Table), text(unix.NFTA_SET_ELEM_LIST_SET, name)...).Encode()
	if err != nil {
		return err
	}
	m := nfnl.Message{Type: nfnl.GetElement, Family: nfnl.FamilyInet, Attributes: a}
	return r.conn.ListLong(ctx, m, func(attributes []byte) {
		eachAttribute(attribute(attributes, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(_ uint16, element []byte) {
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
	})
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
