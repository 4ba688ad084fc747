package ruleset

import (
	"bytes"
	"slices"
	"strings"

	"github.com/mdlayher/netlink/nlenc"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Mentions are the interfaces that rules and sets name, in order, without those
// that stand for many.
func (r *Ruleset) Mentions() []string {
	var names []string
	r.eachInterface(func(key uint32, value []byte) {
		name, ok := interfaceName(value)
		if key == keyIn || key == keyOut {
			name, ok = r.interfaceAt(value)
		}
		if ok && !strings.ContainsAny(name, "*/ ") {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// Patterns are the beginnings of names by which rules name many interfaces, such
// as docker of docker*, in order.
func (r *Ruleset) Patterns() []string {
	var beginnings []string
	r.eachInterface(func(key uint32, value []byte) {
		n := len(value)
		if (key == keyInName || key == keyOutName) && n > 0 && n < interfaceNameBytes && !slices.Contains(value, 0) {
			beginnings = append(beginnings, string(value))
		}
	})
	slices.Sort(beginnings)
	return slices.Compact(beginnings)
}

// interfaceName is the name that a comparison asks for. It ends with a zero, if
// not with many: without one it is the beginning of names. What follows the name
// in a concatenation is left out.
func interfaceName(value []byte) (string, bool) {
	value = value[:min(len(value), interfaceNameBytes)]
	if n := len(value); n < 2 || value[n-1] != 0 || value[0] == 0 {
		return "", false
	}
	return nlenc.String(value), true
}

// interfaceAt is the interface that had an index where the rules are from.
func (r *Ruleset) interfaceAt(value []byte) (string, bool) {
	index, ok := nativeUint32(value[:min(len(value), 4)])
	for name, its := range r.Interfaces {
		if ok && its == index {
			return name, true
		}
	}
	return "", false
}

// eachInterface hands out what rules and their sets compare interfaces with, and
// by which key of meta: names, their beginnings, or indexes.
func (r *Ruleset) eachInterface(note func(key uint32, value []byte)) {
	for t, rule := range r.All() {
		t.ruleInterfaces(rule, note)
	}
}

func (t Table) ruleInterfaces(rule Rule, note func(key uint32, value []byte)) {
	b, _ := bodyOf(rule)
	loaded := map[uint32]uint32{} // the key by register
	for _, e := range b {
		switch e.name {
		case "meta", "payload", "ct", "exthdr", "fib", "rt", "socket", "osf", "numgen", "hash", "xfrm":
			to, m := e.loads()
			if m == nil {
				continue
			}
			delete(loaded, registerWord(to))
			if key := e.data.Uint32(metaKey); e.name == "meta" && key >= keyIn && key <= keyOutName {
				loaded[registerWord(to)] = key
			}
		case "cmp":
			if key, ok := loaded[registerWord(e.data.Uint32(cmpRegister))]; ok {
				value, _ := e.data.Nested(cmpData).Find(dataValue)
				note(key, value)
			}
		case "lookup":
			from := registerWord(e.data.Uint32(lookupSource))
			for register, key := range loaded {
				if register >= from {
					t.elementsAt(e.data.Text(lookupSet), int(register-from)*registerWordBytes, func(value []byte) { note(key, value) })
				}
			}
		}
	}
}

// elementsAt hands out the keys of a set from an offset on, where one value of a
// concatenation begins. Of a set of intervals, in which names that begin alike are
// one, it hands out what these begin with.
func (t Table) elementsAt(set string, offset int, note func(value []byte)) {
	for _, s := range t.Sets {
		if s.Name != set {
			continue
		}
		var keys [][]byte
		ends := map[string]bool{}
		for _, element := range s.Elements {
			a, err := nfnl.Parse(element)
			if err != nil {
				continue
			}
			value, _ := a.Nested(elementKey).Find(dataValue)
			switch {
			case a.Uint32(elementFlags)&flagIntervalEnd != 0:
				ends[string(value)] = true
			case len(value) > offset:
				keys = append(keys, value)
			}
		}
		for _, key := range keys {
			value := key[offset:]
			if len(ends) > 0 && offset == 0 && !ends[string(following(key))] {
				value = bytes.TrimRight(key, "\x00")
			}
			note(value)
		}
	}
}

// following is the number after one in network byte order.
func following(number []byte) []byte {
	next := bytes.Clone(number)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			break
		}
	}
	return next
}

const registerWordBytes = 4

// registerWord is the first of the 4-byte words of a register: the older registers, of
// 16 bytes, are four of the later ones (enum nft_registers).
func registerWord(register uint32) uint32 {
	const firstWord, wordsPerRegister = 8, 4
	if register < firstWord {
		return firstWord + (max(register, 1)-1)*wordsPerRegister
	}
	return register
}
