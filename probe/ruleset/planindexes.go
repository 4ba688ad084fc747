package ruleset

import (
	"encoding/binary"
	"maps"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// noIndex is one that no interface has: they are positive, and counted from 1.
const noIndex = 1<<31 - 1

// translateIndexes gives comparisons of an interface's index the index that the
// interface of that name has in the other namespace, or one that none has.
func (p *plan) translateIndexes(rule nfnl.Attributes, t Table, c Chain, r Rule) (nfnl.Attributes, error) {
	elements := rule.Nested(ruleExpressions)
	loaded := map[uint32]bool{}
	changed := false
	for i, element := range elements {
		e, err := nfnl.Parse(element.Data)
		if err != nil {
			return nil, err
		}
		data := e.Nested(expressionData)
		switch e.Text(expressionName) {
		case "meta":
			key := data.Uint32(metaKey)
			loaded[data.Uint32(metaRegister)] = key == keyIn || key == keyOut || key == keyRealIn
		case "cmp":
			value, _ := data.Nested(cmpData).Find(dataValue)
			index, ok := nativeUint32(value)
			if !ok || !loaded[data.Uint32(cmpRegister)] {
				continue
			}
			other, missing := p.otherIndex(index)
			if missing != "" {
				p.change("rule", t, c.Name, r.Handle, "compares with the interface "+missing+", which is not here")
			}
			encoded, err := withIndex(e, data, other)
			if err != nil {
				return nil, err
			}
			elements[i] = netlink.Attribute{Type: element.Type, Data: encoded}
			changed = true
		}
	}
	if !changed {
		return rule, nil
	}
	list, err := elements.Encode()
	if err != nil {
		return nil, err
	}
	return rule.With(ruleExpressions, list), nil
}

func withIndex(e, data nfnl.Attributes, index uint32) ([]byte, error) {
	value, err := data.Nested(cmpData).With(dataValue, binary.NativeEndian.AppendUint32(nil, index)).Encode()
	if err != nil {
		return nil, err
	}
	inner, err := data.With(cmpData, value).Encode()
	if err != nil {
		return nil, err
	}
	return e.With(expressionData, inner).Encode()
}

// otherIndex says with missing which interface is not there. One that was gone
// from the original already let no packet through there either.
func (p *plan) otherIndex(index uint32) (other uint32, missing string) {
	for name, i := range p.source.Interfaces {
		if i != index {
			continue
		}
		if other, found := p.interfaces[name]; found {
			return other, ""
		}
		return noIndex, name
	}
	return noIndex, ""
}

const (
	// interfaceIndexType is the data type iface_index of nft(8), and typeBits
	// the width of one in the type of a concatenation.
	interfaceIndexType = 20
	typeBits           = 6

	elementKey = 1
)

// translateElements is translateIndexes for the keys of a set. An element whose
// interface is not there is left out: no packet could match it.
func (p *plan) translateElements(s Set, t Table, keyType uint32) ([][]byte, error) {
	if keyType != interfaceIndexType {
		for ; keyType != 0; keyType >>= typeBits {
			if keyType&(1<<typeBits-1) == interfaceIndexType && len(s.Elements) > 0 && !maps.Equal(p.source.Interfaces, p.interfaces) {
				p.change("set", t, s.Name, 0, "holds indexes of interfaces, which may be of others here")
			}
		}
		return s.Elements, nil
	}
	var translated [][]byte
	for _, element := range s.Elements {
		a, err := nfnl.Parse(element)
		if err != nil {
			return nil, err
		}
		key := a.Nested(elementKey)
		value, _ := key.Find(dataValue)
		index, ok := nativeUint32(value)
		if !ok {
			translated = append(translated, element)
			continue
		}
		other, missing := p.otherIndex(index)
		if missing != "" {
			p.change("set", t, s.Name, 0, "holds the interface "+missing+", which is not here")
		}
		if other == noIndex {
			continue
		}
		encoded, err := key.With(dataValue, binary.NativeEndian.AppendUint32(nil, other)).Encode()
		if err != nil {
			return nil, err
		}
		if encoded, err = a.With(elementKey, encoded).Encode(); err != nil {
			return nil, err
		}
		translated = append(translated, encoded)
	}
	return translated, nil
}
