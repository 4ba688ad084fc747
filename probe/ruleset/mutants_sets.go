package ruleset

import (
	"fmt"
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

// mutatedElements is of how many elements of a set mutants are made: with all of
// a list of thousands nobody waits for the answers, and they would be alike.
const mutatedElements = 256

// elements is a set whose elements are mutated.
type elements struct {
	Set
	// at is the set's place in its table.
	at int
	// chain and handle are where the mistakes are.
	chain    string
	handle   uint64
	interval bool
	// keys are those of all elements: the kernel takes none twice.
	keys map[string]bool
}

// sets makes the mutants of the elements of the current table's sets.
func (m *mutator) sets() {
	for i, s := range m.t.Sets {
		a, err := nfnl.Parse(s.Attributes)
		if err != nil {
			continue
		}
		flags, kind := a.Uint32(setFlags), Mutation("")
		if flags&flagConcat == 0 {
			kind = map[uint32]Mutation{serviceType: ShiftPort, addressType: ShiftAddress, addressType6: ShiftAddress}[a.Uint32(setKeyType)]
		}
		verdicts := s.Map && a.Uint32(setDataType) == verdictDataType
		if kind == "" && !verdicts {
			continue
		}
		its := elements{Set: s, at: i, interval: flags&flagInterval != 0, keys: map[string]bool{}}
		its.chain, its.handle = m.user(s)
		for _, k := range m.some(&its) {
			if kind != "" {
				m.element(its, k, kind)
			}
			if verdicts {
				m.elementVerdict(its, k)
			}
		}
	}
}

// some are the places of the elements to be mutated: all, or as many as are
// mutated at most, evenly spread. It notes all keys. A range's end goes with its
// beginning.
func (m *mutator) some(s *elements) []int {
	var begin, end []int
	for k, element := range s.Elements {
		e, err := nfnl.Parse(element)
		if err != nil {
			continue
		}
		value, _ := e.Nested(elementKey).Find(dataValue)
		s.keys[string(value)] = true
		switch {
		case e.Uint32(elementFlags)&flagIntervalEnd == 0:
			begin = append(begin, k)
		case !zero(value): // or else it is the beginning of the gap before the first
			end = append(end, k)
		}
	}
	if n := len(begin); n > mutatedElements {
		m.notes = append(m.notes, fmt.Sprintf("%s: %d of its %d elements are mutated", m.called(*s), mutatedElements, n))
	}
	places := slices.Concat(spread(begin), spread(end))
	slices.Sort(places)
	return places
}

// spread are as many of a list as are mutated at most.
func spread(list []int) []int {
	if len(list) <= mutatedElements {
		return list
	}
	some := make([]int, mutatedElements)
	for i := range some {
		some[i] = list[i*len(list)/mutatedElements]
	}
	return some
}

// called is the set's name, or the place of the rule that it is part of.
func (m *mutator) called(s elements) string {
	if s.handle == 0 {
		return "set " + s.Name
	}
	_, rule, _ := m.source.Find(m.t.Family, m.t.Name, s.handle)
	return fmt.Sprintf("the set in rule %d of chain %s", rule.Position, s.chain)
}

// user is the chain and handle of the rule that a set is part of.
func (m *mutator) user(s Set) (chain string, handle uint64) {
	if !s.Anonymous {
		return s.Name, 0
	}
	for _, c := range m.t.Chains {
		for _, r := range c.Rules {
			if slices.Contains(r.refersTo().sets, s.Name) {
				return c.Name, r.Handle
			}
		}
	}
	return s.Name, 0
}

// with is a table with another element in the place of one; nil leaves it out.
func (s elements) with(element int, instead []byte) func(Table) Table {
	at := s.at
	return func(t Table) Table {
		t.Sets = slices.Clone(t.Sets)
		list := slices.Clone(t.Sets[at].Elements)
		if instead == nil {
			list = slices.Delete(list, element, element+1)
		} else {
			list[element] = instead
		}
		t.Sets[at].Elements = list
		return t
	}
}

// element makes the mutants of a port or an address: moved by one, and, of
// several that are not ranges, left out. A range's end is an element of its own,
// one behind its last.
func (m *mutator) element(s elements, element int, kind Mutation) {
	e, err := nfnl.Parse(s.Elements[element])
	if err != nil {
		return
	}
	value, _ := e.Nested(elementKey).Find(dataValue)
	what := match{kind: map[Mutation]string{ShiftPort: "port", ShiftAddress: "address"}[kind], name: "the element"}
	ends := e.Uint32(elementFlags)&flagIntervalEnd != 0
	for _, by := range []int64{-1, 1} {
		other, ok := added(value, by)
		if !ok || s.keys[string(other)] {
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
		m.add(kind, s.chain, s.handle, s.with(element, changed), "%s", text)
	}
	if !s.interval && len(s.Elements) > 1 {
		m.add(kind, s.chain, s.handle, s.with(element, nil), "the element %s is left out", what.text(value))
	}
}

func zero(value []byte) bool {
	return !slices.ContainsFunc(value, func(c byte) bool { return c != 0 })
}

// elementVerdict makes the mutant of a verdict map's element.
func (m *mutator) elementVerdict(s elements, element int) {
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
	m.add(FlipVerdict, s.chain, s.handle, s.with(element, changed), "an element's %s", text)
}
