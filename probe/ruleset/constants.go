package ruleset

import (
	"bytes"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Addresses are the addresses that rules compare a packet's source or
// destination with.
type Addresses struct {
	Sources, Destinations []Span
}

// Span is the addresses from First to Last.
type Span struct{ First, Last netip.Addr }

// Edges are the addresses at the ends of spans, within and beyond, in order.
func Edges(spans []Span) []netip.Addr {
	var edges []netip.Addr
	for _, s := range spans {
		for _, a := range []netip.Addr{s.First.Prev(), s.First, s.Last, s.Last.Next()} {
			if a.IsValid() && !slices.Contains(edges, a) {
				edges = append(edges, a)
			}
		}
	}
	slices.SortFunc(edges, netip.Addr.Compare)
	return edges
}

// Addresses lists what rules compare addresses with, in single comparisons and
// in sets. A set that several rules use counts for both source and destination,
// where one looks the source up and another the destination.
func (r *Ruleset) Addresses() Addresses {
	var found Addresses
	note := func(source bool, s Span) {
		list := &found.Destinations
		if source {
			list = &found.Sources
		}
		if s.First.IsValid() && s.Last.IsValid() && !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, t := range r.Tables {
		for _, c := range t.Chains {
			for _, rule := range c.Rules {
				b, ok := bodyOf(rule)
				if !ok {
					continue
				}
				for _, m := range b.matches() {
					if m.kind == "address" {
						b.noteAddresses(t, *m, note)
					}
				}
			}
		}
	}
	return found
}

func (b body) noteAddresses(t Table, m match, note func(bool, Span)) {
	source := m.name == "the source address"
	size := 4
	if offset := b[m.begin].data.Uint32(payloadOffset); offset == 8 || offset == 24 {
		size = 16
	}
	if b.spans(m) {
		from, _ := b[m.ends[0]].data.Nested(cmpData).Find(dataValue)
		to, _ := b[m.ends[1]].data.Nested(cmpData).Find(dataValue)
		note(source, Span{masked(from, nil, size).First, masked(to, nil, size).Last})
		return
	}
	for _, i := range m.ends {
		e := b[i]
		switch e.name {
		case "cmp":
			value, _ := e.data.Nested(cmpData).Find(dataValue)
			note(source, masked(value, m.mask, size))
		case "range":
			from, _ := e.data.Nested(rangeFrom).Find(dataValue)
			to, _ := e.data.Nested(rangeTo).Find(dataValue)
			note(source, span(from, to))
		case "lookup":
			name := e.data.Text(lookupSet)
			for _, s := range t.Sets {
				if s.Name == name {
					for _, its := range s.spans() {
						note(source, its)
					}
				}
			}
		}
	}
}

// spans says that a match is from one value to another by two comparisons, which
// is how nft writes some ranges.
func (b body) spans(m match) bool {
	if len(m.ends) != 2 {
		return false
	}
	first, last := b[m.ends[0]], b[m.ends[1]]
	return first.name == "cmp" && last.name == "cmp" &&
		first.data.Uint32(cmpOperation) == cmpAtLeast && last.data.Uint32(cmpOperation) == cmpAtMost
}

func span(from, to []byte) Span {
	first, _ := netip.AddrFromSlice(from)
	last, _ := netip.AddrFromSlice(to)
	return Span{first, last}
}

// masked are the addresses whose first bytes are value, as far as the mask goes.
func masked(value, mask []byte, size int) Span {
	if len(value) > size {
		return Span{}
	}
	first := append(bytes.Clone(value), make([]byte, size-len(value))...)
	last := bytes.Clone(first)
	for i := range last {
		switch {
		case i >= len(value):
			last[i] = 0xff
		case i < len(mask):
			last[i] |= ^mask[i]
		}
	}
	return span(first, last)
}

// spans are the addresses of a set that has nothing else in it.
func (s Set) spans() []Span {
	a, err := nfnl.Parse(s.Attributes)
	if err != nil {
		return nil
	}
	if key := a.Uint32(setKeyType); key != addressType && key != addressType6 {
		return nil
	}
	interval := a.Uint32(setFlags)&flagInterval != 0
	type key struct {
		addr netip.Addr
		end  bool
	}
	var keys []key
	for _, element := range s.Elements {
		e, err := nfnl.Parse(element)
		if err != nil {
			continue
		}
		value, _ := e.Nested(elementKey).Find(dataValue)
		addr, ok := netip.AddrFromSlice(value)
		if ok {
			keys = append(keys, key{addr, e.Uint32(elementFlags)&flagIntervalEnd != 0})
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return a.addr.Compare(b.addr) })
	var spans []Span
	for i, k := range keys {
		switch {
		case k.end:
		case !interval:
			spans = append(spans, Span{k.addr, k.addr})
		case i+1 < len(keys):
			spans = append(spans, Span{k.addr, keys[i+1].addr.Prev()})
		default:
			spans = append(spans, Span{k.addr, lastOf(k.addr)})
		}
	}
	return spans
}

// lastOf is the last address of a family.
func lastOf(a netip.Addr) netip.Addr {
	last, _ := netip.AddrFromSlice(bytes.Repeat([]byte{0xff}, a.BitLen()/8))
	return last
}

// SourcePorts are the source ports that rules compare with, ascending. Those in
// sets are not told from the others.
func (r *Ruleset) SourcePorts() []uint16 {
	known := map[uint16]bool{}
	note := func(value []byte) {
		if len(value) >= 2 {
			known[binary.BigEndian.Uint16(value)] = true
		}
	}
	for _, t := range r.Tables {
		for _, c := range t.Chains {
			for _, rule := range c.Rules {
				b, _ := bodyOf(rule)
				for _, m := range b.matches() {
					if m.name != sourcePort && m.name != bothPorts {
						continue
					}
					for _, i := range m.ends {
						b[i].notePorts(note)
						for _, s := range t.Sets {
							if b[i].name == "lookup" && s.Name == b[i].data.Text(lookupSet) {
								s.notePorts(note)
							}
						}
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(known))
}
