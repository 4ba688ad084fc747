package ruleset

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

const (
	dropCode = 0

	keyState = 0
	ctKey    = 2
	ctTo     = 1
	ctSource = 4

	metaSource = 3
	keyTrace   = 12

	bitwiseSource = 1
	bitwiseTo     = 2
	bitwiseLength = 3
	bitwiseMask   = 4
	bitwiseXor    = 5

	rangeRegister  = 1
	rangeOperation = 2

	limitRate  = 1
	limitBurst = 3
)

// alterations are the mutants of a rule that are within it.
func (b body) alterations() []alteration {
	var list []alteration
	for _, m := range b.matches() {
		if len(m.ends) == 0 {
			continue
		}
		list = append(list, alteration{DropMatch, "the match of " + m.name + " is dropped", b.with(m.begin, m.ends[len(m.ends)-1]+1)})
		for _, i := range m.ends {
			list = append(list, b.compared(i, *m)...)
		}
	}
	for i, e := range b {
		switch e.name {
		case "limit", "quota", "connlimit":
			list = append(list, alteration{DropMatch, e.name + " is dropped", b.with(i, i+1)})
			if e.name == "limit" {
				list = append(list, b.limits(i)...)
			}
		case "match":
			if name := e.data.Text(extensionName); name != "comment" {
				list = append(list, alteration{DropMatch, "the match " + name + " is dropped", b.with(i, i+1)})
				list = append(list, b.extension(i)...)
			}
		case "immediate":
			list = append(list, b.verdicts(i)...)
		case "reject":
			list = append(list, alteration{FlipVerdict, "reject becomes accept", b.with(i, i+1, immediate(acceptCode))},
				alteration{FlipVerdict, "reject becomes drop", b.with(i, i+1, immediate(dropCode))})
		case "target":
			if name := e.data.Text(extensionName); name == "REJECT" {
				list = append(list, alteration{FlipVerdict, "reject becomes accept", b.with(i, i+1, immediate(acceptCode))})
			}
		}
	}
	return list
}

// compared are the mutants of one comparison of a match.
func (b body) compared(i int, m match) []alteration {
	if b[i].name == "lookup" {
		return nil
	}
	switch m.kind {
	case "port":
		return b.moved(i, ShiftPort, m)
	case "ports":
		return b.bothMoved(i, m)
	case "address":
		if m.mask == nil {
			return b.addresses(i, m)
		}
		return b.masks(m)
	case "protocol":
		return b.protocols(i)
	case "state":
		return b.states(m)
	}
	return nil
}

// moved are comparisons with a number that is one more or less.
func (b body) moved(i int, kind Mutation, s match) []alteration {
	e := b[i]
	if e.name == "range" {
		var list []alteration
		for _, end := range []uint16{rangeFrom, rangeTo} {
			value, _ := e.data.Nested(end).Find(dataValue)
			for _, by := range []int64{-1, 1} {
				if other, ok := added(value, by); ok {
					list = append(list, alteration{kind, s.becomes(value, other), b.with(i, i+1, e.withValue(end, other))})
				}
			}
		}
		return list
	}
	value, _ := e.data.Nested(cmpData).Find(dataValue)
	operation := e.data.Uint32(cmpOperation)
	var list []alteration
	for _, by := range []int64{-1, 1} {
		other, ok := added(value, by)
		if !ok {
			continue
		}
		list = append(list, alteration{kind, s.becomes(value, other), b.with(i, i+1, e.withValue(cmpData, other))})
		if operation == cmpEqual && by > 0 {
			list = append(list, alteration{kind, fmt.Sprintf("%s %s becomes %s-%s", s.name, s.text(value), s.text(value), s.text(other)), b.with(i, i+1, e.ranged(value, other))})
		}
	}
	return list
}

// bothMoved are comparisons of the source port and the port at once, as nft makes
// them of two that follow each other, with one of them one more or less.
func (b body) bothMoved(i int, s match) []alteration {
	const bytes = 2
	value, _ := b[i].data.Nested(cmpData).Find(dataValue)
	if b[i].name != "cmp" || len(value) != 2*bytes || s.mask != nil {
		return nil
	}
	text := func(both []byte) string { return s.text(both[:bytes]) + " and " + s.text(both[bytes:]) }
	var list []alteration
	for _, at := range []int{0, bytes} {
		for _, by := range []int64{-1, 1} {
			one, ok := added(value[at:at+bytes], by)
			if !ok {
				continue
			}
			other := slices.Concat(value[:at], one, value[at+bytes:])
			list = append(list, alteration{ShiftPort, fmt.Sprintf("%s %s become %s", s.name, text(value), text(other)), b.with(i, i+1, b[i].withValue(cmpData, other))})
		}
	}
	return list
}

// withValue is the expression with another value in an attribute.
func (e expression) withValue(t uint16, value []byte) expression {
	inner, err := nfnl.Attributes{{Type: dataValue, Data: value}}.Encode()
	if err != nil {
		return e
	}
	return expression{e.name, e.data.With(t, inner)}
}

// ranged is a comparison with a range in the place of one with a value.
func (e expression) ranged(from, to []byte) expression {
	r := expression{"range", nfnl.Attributes{}.WithUint32(rangeRegister, e.data.Uint32(cmpRegister)).WithUint32(rangeOperation, cmpEqual)}
	r.data = append(r.data, netlink.Attribute{Type: rangeFrom | netlink.Nested}, netlink.Attribute{Type: rangeTo | netlink.Nested})
	return r.withValue(rangeFrom, from).withValue(rangeTo, to)
}

// added is a number in network byte order and another; false where there is none
// of that length.
func added(value []byte, by int64) ([]byte, bool) {
	n := new(big.Int).Add(new(big.Int).SetBytes(value), big.NewInt(by))
	if len(value) == 0 || n.Sign() < 0 || n.BitLen() > 8*len(value) {
		return nil, false
	}
	return n.FillBytes(make([]byte, len(value))), true
}

func (s match) becomes(was, is []byte) string {
	return fmt.Sprintf("%s %s becomes %s", s.name, s.text(was), s.text(is))
}

func (s match) text(value []byte) string {
	if addr, ok := netip.AddrFromSlice(value); ok && s.kind == "address" {
		return addr.String()
	}
	return new(big.Int).SetBytes(value).String()
}

// addresses are the mutants of a comparison with an address, or with the bytes
// of a network.
func (b body) addresses(i int, s match) []alteration {
	load, e := b[s.begin], b[i]
	value, _ := e.data.Nested(cmpData).Find(dataValue)
	if e.name != "cmp" || len(value) == 4 || len(value) == 16 {
		return b.moved(i, ShiftAddress, s)
	}
	full := 4
	if load.data.Uint32(payloadOffset) == 8 || load.data.Uint32(payloadOffset) == 24 {
		full = 16
	}
	bits := 8 * len(value)
	if len(value) >= full {
		return nil
	}
	// A network whose length is one of whole bytes is compared without a mask.
	var list []alteration
	for _, length := range []int{bits - 1, bits + 1} {
		size := (length + 7) / 8
		wide := make([]byte, size)
		copy(wide, value)
		mask := maskOf(length, size)
		for k := range wide {
			wide[k] &= mask[k]
		}
		register := e.data.Uint32(cmpRegister)
		masked := expression{"bitwise", nfnl.Attributes{}.WithUint32(bitwiseSource, register).WithUint32(bitwiseTo, register).WithUint32(bitwiseLength, uint32(size))}
		masked.data = append(masked.data, netlink.Attribute{Type: bitwiseMask | netlink.Nested}, netlink.Attribute{Type: bitwiseXor | netlink.Nested})
		masked = masked.withValue(bitwiseMask, mask).withValue(bitwiseXor, make([]byte, size))
		other := expression{"payload", load.data.WithUint32(payloadLength, uint32(size))}
		list = append(list, alteration{
			ShiftAddress, fmt.Sprintf("the length of the network of %s, %d, becomes %d", s.name, bits, length),
			b.with(s.begin, i+1, other, masked, e.withValue(cmpData, wide)),
		})
	}
	return list
}

func maskOf(length, size int) []byte {
	mask := make([]byte, size)
	for bit := range length {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return mask
}

// masks are the mutants of a network's length.
func (b body) masks(s match) []alteration {
	e := b[s.last]
	length := 0
	for _, c := range s.mask {
		for bit := byte(0x80); bit > 0 && c&bit != 0; bit >>= 1 {
			length++
		}
	}
	var list []alteration
	for _, other := range []int{length - 1, length + 1} {
		if other >= 0 && other <= 8*len(s.mask) {
			list = append(list, alteration{
				ShiftAddress, fmt.Sprintf("the length of the network of %s, %d, becomes %d", s.name, length, other),
				b.with(s.last, s.last+1, e.withValue(bitwiseMask, maskOf(other, len(s.mask)))),
			})
		}
	}
	return list
}

// protocols are the other one of those with ports.
func (b body) protocols(i int) []alteration {
	names := map[byte]string{6: "tcp", 17: "udp", 1: "icmp", 58: "icmpv6"}
	others := map[byte]byte{6: 17, 17: 6, 1: 58, 58: 1}
	e := b[i]
	value, _ := e.data.Nested(cmpData).Find(dataValue)
	if len(value) != 1 || e.name != "cmp" || others[value[0]] == 0 {
		return nil
	}
	other := others[value[0]]
	return []alteration{{ChangeProtocol, fmt.Sprintf("protocol %s becomes %s", names[value[0]], names[other]), b.with(i, i+1, e.withValue(cmpData, []byte{other}))}}
}

// stateNames are the bits of a state (NF_CT_STATE_BIT).
var stateNames = []struct {
	bit  uint32
	name string
}{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}}

// states are the mutants in which one state more is matched, or one less.
func (b body) states(s match) []alteration {
	if len(s.mask) != 4 {
		return nil
	}
	was := binary.NativeEndian.Uint32(s.mask)
	var list []alteration
	for _, state := range stateNames {
		is := was ^ state.bit
		if is == 0 {
			continue
		}
		text := "state " + state.name + " is matched as well"
		if was&state.bit != 0 {
			text = "state " + state.name + " is not matched any more"
		}
		list = append(list, alteration{ChangeState, text, b.with(s.last, s.last+1, b[s.last].withValue(bitwiseMask, binary.NativeEndian.AppendUint32(nil, is)))})
	}
	return list
}

// limits are the mutants of a limit's rate and burst.
func (b body) limits(i int) []alteration {
	e := b[i]
	var list []alteration
	rate, burst := e.data.Uint64(limitRate), e.data.Uint32(limitBurst)
	for _, by := range []int64{-1, 1} {
		if other := int64(rate) + by; other > 0 {
			changed := expression{e.name, e.data.With(limitRate, binary.BigEndian.AppendUint64(nil, uint64(other)))}
			list = append(list, alteration{ShiftLimit, fmt.Sprintf("rate %d becomes %d", rate, other), b.with(i, i+1, changed)})
		}
		if other := int64(burst) + by; burst > 0 && other > 0 {
			changed := expression{e.name, e.data.WithUint32(limitBurst, uint32(other))}
			list = append(list, alteration{ShiftLimit, fmt.Sprintf("burst %d becomes %d", burst, other), b.with(i, i+1, changed)})
		}
	}
	return list
}

// verdicts are the mutants of what a rule does.
func (b body) verdicts(i int) []alteration {
	e := b[i]
	if _, named := e.data.Find(immediateTo); !named || e.data.Uint32(immediateTo) != verdictTo {
		return nil
	}
	v := e.data.Nested(immediateData).Nested(dataVerdict)
	if _, found := v.Find(verdictCode); !found {
		return nil
	}
	switch v.Uint32(verdictCode) {
	case acceptCode:
		return []alteration{{FlipVerdict, "accept becomes drop", b.with(i, i+1, immediate(dropCode))}}
	case dropCode:
		return []alteration{{FlipVerdict, "drop becomes accept", b.with(i, i+1, immediate(acceptCode))}}
	}
	return nil
}

// immediate is the expression of a verdict.
func immediate(code uint32) expression {
	verdict, _ := nfnl.Attributes{}.WithUint32(verdictCode, code).Encode()
	data, _ := nfnl.Attributes{{Type: dataVerdict | netlink.Nested, Data: verdict}}.Encode()
	return expression{"immediate", append(nfnl.Attributes{}.WithUint32(immediateTo, verdictTo), netlink.Attribute{Type: immediateData | netlink.Nested, Data: data})}
}

// extension are the mutants of a match of iptables that is about ports.
func (b body) extension(i int) []alteration {
	e := b[i]
	info, _ := e.data.Find(extensionInfo)
	name := e.data.Text(extensionName)
	var places []int
	switch name {
	case "tcp", "udp":
		places = []int{0, 2, 4, 6}
	case "multiport":
		if len(info) > 1 {
			for k := range min(int(info[1]), 15) {
				places = append(places, 2+2*k)
			}
		}
	}
	var list []alteration
	for _, at := range places {
		if at+2 > len(info) {
			continue
		}
		port := binary.NativeEndian.Uint16(info[at:])
		for _, by := range []int{-1, 1} {
			other := int(port) + by
			if other < 0 || other > 65535 {
				continue
			}
			changed := append([]byte(nil), info...)
			binary.NativeEndian.PutUint16(changed[at:], uint16(other))
			list = append(list, alteration{
				ShiftPort, fmt.Sprintf("port %d of the match %s becomes %d", port, strings.TrimSpace(name), other),
				b.with(i, i+1, expression{e.name, e.data.With(extensionInfo, changed)}),
			})
		}
	}
	return list
}
