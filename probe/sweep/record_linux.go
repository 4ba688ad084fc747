package sweep

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// lastPriority is after everything but what confirms connections (NF_IP_PRI_
// CONNTRACK_CONFIRM in linux/netfilter_ipv4.h).
const lastPriority = math.MaxInt32 - 1

const (
	hookPrerouting  = 0
	hookInput       = 1
	hookOutput      = 3
	hookPostrouting = 4
	loopbackIndex   = 1
	// Register 8 is the first of those of four bytes (NFT_REG32_00).
	firstRegister = 8
)

// recorder is the set and the chains that record what was let through.
type recorder struct {
	conn   *nfnl.Conn
	table  string
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
		r, err = startRecording(recording{table: Table, hooks: deciding}, sweeps, 0)
		return r, 0, err
	}
	if kept == nil {
		room := max(keptRoom, packets)
		if r, err = startRecording(recording{table: Table, hooks: deciding}, nil, room); err != nil {
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

// startRecording puts the chains at the end of some of the machine's hooks, in the
// calling thread's network namespace. Beside those of the sweeps that are large
// there is room for so many packets.
func startRecording(how recording, sweeps []Sweep, room int) (*recorder, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	r := &recorder{conn: conn, table: how.table, sweeps: sweeps}
	messages, err := how.begin(sweeps, room)
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
	table, err := text(unix.NFTA_TABLE_NAME, r.table).Encode()
	if err != nil {
		return err
	}
	err = r.transact([]nfnl.Message{{Type: nfnl.DelTable, Family: nfnl.FamilyInet, Attributes: table}})
	_ = r.conn.Close()
	return err
}

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
	a, err := append(text(unix.NFTA_SET_ELEM_LIST_TABLE, r.table), text(unix.NFTA_SET_ELEM_LIST_SET, name)...).Encode()
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
