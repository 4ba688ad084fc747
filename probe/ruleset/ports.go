package ruleset

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
	"github.com/loopcheck/loopcheck/probe/portset"
)

const (
	rangeFrom = 3
	rangeTo   = 4

	transportBase = 2

	elementKeyEnd = 10

	// serviceType is the data type inet_service of nft(8).
	serviceType = 13
	fieldBytes  = 4
)

// Ports are the ports that rules and sets compare with, ascending. Between two
// that follow each other here all ports are alike to the rules, but for those
// that compute with a port: OddPorts lists them.
func (r *Ruleset) Ports() []uint16 {
	known := map[uint16]bool{}
	note := func(value []byte) {
		if len(value) >= 2 {
			known[binary.BigEndian.Uint16(value)] = true
		}
	}
	for _, rule := range r.All() {
		rule.notePorts(note)
	}
	for _, t := range r.Tables {
		for _, s := range t.Sets {
			s.notePorts(note)
		}
	}
	return slices.Sorted(maps.Keys(known))
}

func (r Rule) notePorts(note func([]byte)) {
	b, _ := bodyOf(r)
	for _, m := range b.matches() {
		if b[m.begin].loadsPorts() {
			for _, i := range m.ends {
				b[i].notePorts(note)
			}
		}
	}
	for _, e := range b {
		if e.name == "match" {
			info, _ := e.data.Find(extensionInfo)
			notePortsOf(e.data.Text(extensionName), info, note)
		}
	}
}

// loadsPorts says that an expression loads a port, or both.
func (e expression) loadsPorts() bool {
	const bytes = 4 // of both
	return e.name == "payload" && e.data.Uint32(payloadBase) == transportBase && e.data.Uint32(payloadOffset)+e.data.Uint32(payloadLength) <= bytes
}

func (e expression) notePorts(note func([]byte)) {
	var values [][]byte
	switch e.name {
	case "cmp":
		value, _ := e.data.Nested(cmpData).Find(dataValue)
		values = append(values, value)
	case "range":
		for _, t := range []uint16{rangeFrom, rangeTo} {
			value, _ := e.data.Nested(t).Find(dataValue)
			values = append(values, value)
		}
	}
	for _, value := range values {
		if len(value) == 2 {
			note(value)
		} else if len(value) == 4 {
			note(value) // both ports in one
			note(value[2:])
		}
	}
}

// notePortsOf reads the matches of iptables that are about ports
// (linux/netfilter/xt_tcpudp.h, xt_multiport.h), in the order of this machine.
func notePortsOf(name string, info []byte, note func([]byte)) {
	first, count := 0, 4
	switch name {
	case "tcp", "udp", "sctp", "dccp":
	case "multiport":
		first, count = 2, 15
	default:
		return
	}
	for i := range count {
		if at := first + 2*i; at+2 <= len(info) {
			note(binary.BigEndian.AppendUint16(nil, binary.NativeEndian.Uint16(info[at:])))
		}
	}
}

// notePorts reads the keys that are ports, or have one among their fields.
func (s Set) notePorts(note func([]byte)) {
	a, err := nfnl.Parse(s.Attributes)
	if err != nil {
		return
	}
	var fields []uint32 // of the key, the last first
	for kind := a.Uint32(setKeyType); kind != 0; kind >>= typeBits {
		fields = append(fields, kind&(1<<typeBits-1))
	}
	slices.Reverse(fields)
	if !slices.Contains(fields, serviceType) {
		return
	}
	for _, element := range s.Elements {
		e, err := nfnl.Parse(element)
		if err != nil {
			continue
		}
		for _, t := range []uint16{elementKey, elementKeyEnd} {
			value, _ := e.Nested(t).Find(dataValue)
			if len(fields) == 1 {
				note(value)
				continue
			}
			// A field takes up a multiple of four bytes; where one is wider the
			// port is looked for at each place, which does no harm.
			for at := 0; at+fieldBytes <= len(value); at += fieldBytes {
				if value[at+2] == 0 && value[at+3] == 0 {
					note(value[at:])
				}
			}
		}
	}
}

// Bounds are ports outside of which no packet matches any rule: from the lowest to
// the highest that each compares with. They are all where that is not seen.
func (r *Ruleset) Bounds() []portset.Range {
	var bounds []portset.Range
	for t, rule := range r.All() {
		its, bounded := rule.bounds(t)
		if !bounded {
			return portset.All().Ranges()
		}
		bounds = append(bounds, its)
	}
	return bounds
}

func (r Rule) bounds(t Table) (within portset.Range, bounded bool) {
	const lookupFlags, inverted = 5, 1
	b, _ := bodyOf(r)
	for _, m := range b.matches() {
		if m.name != "the port" || m.mask != nil || len(m.ends) == 0 {
			continue
		}
		var ports []uint16
		note := func(value []byte) {
			if len(value) >= 2 {
				ports = append(ports, binary.BigEndian.Uint16(value))
			}
		}
		e := b[m.ends[0]]
		switch {
		case b.spans(*m):
			e.notePorts(note)
			b[m.ends[1]].notePorts(note)
		case e.name == "cmp" && e.data.Uint32(cmpOperation) == cmpEqual, e.name == "range" && e.data.Uint32(rangeOperation) == cmpEqual:
			e.notePorts(note)
		case e.name == "lookup" && e.data.Uint32(lookupFlags)&inverted == 0:
			for _, s := range t.Sets {
				if s.Name == e.data.Text(lookupSet) && !s.changes() {
					s.notePorts(note)
				}
			}
		}
		if len(ports) > 0 {
			return portset.Range{First: slices.Min(ports), Last: slices.Max(ports)}, true
		}
	}
	return portset.Range{}, false
}

// changes says that packets may add to a set.
func (s Set) changes() bool {
	const evaluated = 0x20 // NFT_SET_EVAL
	a, err := nfnl.Parse(s.Attributes)
	return err != nil || a.Uint32(setFlags)&evaluated != 0
}

// Types are the types of ICMP that rules and sets compare with, ascending, and
// other numbers of one byte among them.
func (r *Ruleset) Types() []uint8 {
	known := map[uint8]bool{}
	note := func(value []byte) {
		if len(value) == 1 {
			known[value[0]] = true
		}
	}
	for _, rule := range r.All() {
		rule.noteTypes(note)
	}
	for _, t := range r.Tables {
		for _, s := range t.Sets {
			s.noteTypes(note)
		}
	}
	return slices.Sorted(maps.Keys(known))
}

func (r Rule) noteTypes(note func([]byte)) {
	b, _ := bodyOf(r)
	for _, e := range b {
		switch e.name {
		case "cmp":
			value, _ := e.data.Nested(cmpData).Find(dataValue)
			note(value)
		case "range":
			for _, t := range []uint16{rangeFrom, rangeTo} {
				value, _ := e.data.Nested(t).Find(dataValue)
				note(value)
			}
		case "match":
			if name := e.data.Text(extensionName); name == "icmp" || name == "icmp6" {
				info, _ := e.data.Find(extensionInfo)
				note(info[:min(1, len(info))])
			}
		}
	}
}

// noteTypes reads keys of one byte, and the first byte of each field of others.
func (s Set) noteTypes(note func([]byte)) {
	for _, element := range s.Elements {
		e, err := nfnl.Parse(element)
		if err != nil {
			continue
		}
		for _, t := range []uint16{elementKey, elementKeyEnd} {
			value, _ := e.Nested(t).Find(dataValue)
			if len(value) == 1 {
				note(value)
			} else if len(value) > fieldBytes {
				for at := 0; at < len(value); at += fieldBytes {
					note(value[at : at+1])
				}
			}
		}
	}
}
