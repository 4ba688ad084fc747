package ruleset

import (
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

const (
	elementFlags    = 3
	flagIntervalEnd = 1
	addressType     = 7 // TYPE_IPADDR of nft(8)
	addressType6    = 8 // TYPE_IP6ADDR
	setDataType     = 6
	verdictDataType = 0xffffff00
)

// sets makes the mutants of the elements of the current table's sets.
func (m *mutator) sets() {
	for i, s := range m.t.Sets {
		a, err := nfnl.Parse(s.Attributes)
		if err != nil {
			continue
		}
		key := a.Uint32(setKeyType)
		kind := map[uint32]Mutation{serviceType: ShiftPort, addressType: ShiftAddress, addressType6: ShiftAddress}[key]
		verdicts := s.Map && a.Uint32(setDataType) == verdictDataType
		for k := range s.Elements {
			if kind != "" && a.Uint32(setFlags)&flagConcat == 0 {
				m.element(i, k, kind, a.Uint32(setFlags)&flagInterval != 0)
			}
			if verdicts {
				m.elementVerdict(i, k)
			}
		}
	}
}

// user is the chain and handle of the rule that a set is part of.
func (m *mutator) user(s Set) (chain string, handle uint64) {
	for _, c := range m.t.Chains {
		for _, r := range c.Rules {
			if slices.Contains(r.refersTo().sets, s.Name) && s.Anonymous {
				return c.Name, r.Handle
			}
		}
	}
	return s.Name, 0
}

// withElement is the table with another element in the place of one; nil leaves
// it out.
func (m *mutator) withElement(set, element int, instead []byte) Table {
	t := m.t
	t.Sets = slices.Clone(t.Sets)
	s := &t.Sets[set]
	s.Elements = slices.Clone(s.Elements)
	if instead == nil {
		s.Elements = slices.Delete(s.Elements, element, element+1)
	} else {
		s.Elements[element] = instead
	}
	return t
}

// element makes the mutants of a port or an address: moved by one, and, of
// several that are not ranges, left out. A range's end is an element of its own,
// one behind its last.
func (m *mutator) element(set, element int, kind Mutation, interval bool) {
	s := m.t.Sets[set]
	e, err := nfnl.Parse(s.Elements[element])
	if err != nil {
		return
	}
	value, _ := e.Nested(elementKey).Find(dataValue)
	chain, handle := m.user(s)
	what := match{kind: map[Mutation]string{ShiftPort: "port", ShiftAddress: "address"}[kind], name: "the element"}
	ends := e.Uint32(elementFlags)&flagIntervalEnd != 0
	if interval && zero(value) {
		return // the beginning of the gap before the first
	}
	for _, by := range []int64{-1, 1} {
		other, ok := added(value, by)
		if !ok || m.has(s, other) {
			continue
		}
		key, err := nfnl.Attributes{{Type: dataValue, Data: other}}.Encode()
		if err != nil {
			continue
		}
		changed, err := e.With(elementKey, key).Encode()
		if err != nil {
			continue
		}
		text := what.becomes(value, other)
		if ends {
			// The end is the first that is not in the range any more.
			was, _ := added(value, -1)
			is, _ := added(other, -1)
			text = "the end of a range, " + what.text(was) + ", becomes " + what.text(is)
		}
		m.add(kind, chain, handle, m.withElement(set, element, changed), "%s", text)
	}
	if !interval && len(s.Elements) > 1 {
		m.add(kind, chain, handle, m.withElement(set, element, nil), "the element %s is left out", what.text(value))
	}
}

func zero(value []byte) bool {
	return !slices.ContainsFunc(value, func(c byte) bool { return c != 0 })
}

// has says that a set has an element with a key: the kernel takes none twice.
func (m *mutator) has(s Set, key []byte) bool {
	return slices.ContainsFunc(s.Elements, func(element []byte) bool {
		e, err := nfnl.Parse(element)
		if err != nil {
			return false
		}
		value, _ := e.Nested(elementKey).Find(dataValue)
		return slices.Equal(value, key)
	})
}

// elementVerdict makes the mutant of a verdict map's element.
func (m *mutator) elementVerdict(set, element int) {
	s := m.t.Sets[set]
	e, err := nfnl.Parse(s.Elements[element])
	if err != nil {
		return
	}
	v := e.Nested(elementData).Nested(dataVerdict)
	if _, found := v.Find(verdictCode); !found {
		return
	}
	code, text := uint32(dropCode), "accept becomes drop"
	switch v.Uint32(verdictCode) {
	case acceptCode:
	case dropCode:
		code, text = acceptCode, "drop becomes accept"
	default:
		return
	}
	verdict, err := nfnl.Attributes{}.WithUint32(verdictCode, code).Encode()
	if err != nil {
		return
	}
	data, err := nfnl.Attributes{{Type: dataVerdict | netlink.Nested, Data: verdict}}.Encode()
	if err != nil {
		return
	}
	changed, err := e.With(elementData, data).Encode()
	if err != nil {
		return
	}
	chain, handle := m.user(s)
	m.add(FlipVerdict, chain, handle, m.withElement(set, element, changed), "an element's %s", text)
}
