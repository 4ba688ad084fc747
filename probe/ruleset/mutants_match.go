package ruleset

// match is a stretch of a rule that compares something: the expression that
// loads it, what is done to it, and the comparisons.
type match struct {
	// kind is "port", "address", "protocol" or "state"; "" for anything else.
	kind string
	name string
	// begin is the expression that loaded it, and last the one that changed it.
	begin, last int
	mask        []byte
	// ends are the comparisons: two where it is a range.
	ends []int
}

// matches are those of a rule, in order.
func (b body) matches() []*match {
	var list []*match
	loaded := map[uint32]*match{}
	for i, e := range b {
		switch e.name {
		case "payload", "meta", "ct", "exthdr", "fib", "rt", "socket", "osf", "numgen", "hash", "xfrm":
			if to, m := e.loads(); m != nil {
				m.begin, m.last = i, i
				loaded[to] = m
				list = append(list, m)
			}
		case "bitwise", "byteorder":
			if m := loaded[e.data.Uint32(bitwiseSource)]; m != nil {
				m.last = i
				m.mask, _ = e.data.Nested(bitwiseMask).Find(dataValue)
			}
		case "cmp", "range":
			if m := loaded[e.data.Uint32(cmpRegister)]; m != nil {
				m.ends = append(m.ends, i)
			}
		case "lookup":
			if m := loaded[e.data.Uint32(lookupSource)]; m != nil && !e.writes() {
				m.ends = append(m.ends, i)
			}
		}
	}
	return list
}

// loads is the register that an expression loads, and with what.
func (e expression) loads() (to uint32, s *match) {
	has := func(t uint16) bool { _, found := e.data.Find(t); return found }
	switch e.name {
	case "payload":
		if has(payloadSource) {
			return 0, nil
		}
		return e.data.Uint32(payloadRegister), payloadSubject(e)
	case "meta":
		if has(3) { // NFTA_META_SREG: it writes
			return 0, nil
		}
		s := &match{name: "meta"}
		switch e.data.Uint32(metaKey) {
		case keyProtocol:
			s.kind, s.name = "protocol", "the protocol"
		case keyIn, keyInName:
			s.name = "the interface that it came in through"
		case keyOut, keyOutName:
			s.name = "the interface that it goes out through"
		}
		return e.data.Uint32(metaRegister), s
	case "ct":
		if has(4) { // NFTA_CT_SREG: it writes
			return 0, nil
		}
		s := &match{name: "what connection tracking knows"}
		if e.data.Uint32(ctKey) == keyState {
			s.kind, s.name = "state", "the state"
		}
		return e.data.Uint32(ctTo), s
	}
	return e.data.Uint32(1), &match{name: e.name}
}

// payloadSubject tells ports, addresses and protocols by where they are in a
// header (RFC 791, 8200, 9293, 768).
func payloadSubject(e expression) *match {
	base, offset, length := e.data.Uint32(payloadBase), e.data.Uint32(payloadOffset), e.data.Uint32(payloadLength)
	switch {
	case base == transportBase && offset == 2 && length == 2:
		return &match{kind: "port", name: "the port"}
	case base == transportBase && offset == 0 && length == 2:
		return &match{kind: "port", name: "the source port"}
	case base == networkBase && (offset == 12 && length <= 4 || offset == 8 && length > 4):
		return &match{kind: "address", name: "the source address"}
	case base == networkBase && (offset == 16 && length <= 4 || offset == 24 && length > 4):
		return &match{kind: "address", name: "the destination address"}
	case base == networkBase && (offset == 9 || offset == 6) && length == 1:
		return &match{kind: "protocol", name: "the protocol"}
	}
	return &match{name: "a header field"}
}
