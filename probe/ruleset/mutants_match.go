package ruleset

// match is a stretch of a rule that compares something: the expression that
// loads it, what is done to it, and the comparisons.
type match struct {
	// kind is "port", "address", "protocol" or "state"; "" for anything else.
	kind string
	name string
	// varied says that packets of sweeps differ in it.
	varied bool
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
		if has(metaSource) { // it writes
			return 0, nil
		}
		return e.data.Uint32(metaRegister), metaSubject(e.data.Uint32(metaKey))
	case "ct":
		if has(ctSource) { // it writes
			return 0, nil
		}
		return e.data.Uint32(ctTo), ctSubject(e.data.Uint32(ctKey))
	}
	return e.data.Uint32(1), &match{name: e.name}
}

// metaSubject tells what meta loads (enum nft_meta_keys).
func metaSubject(key uint32) *match {
	switch key {
	case keyProtocol:
		return &match{kind: "protocol", name: "the protocol", varied: true}
	case keyIn, keyInName:
		return &match{name: "the interface that it came in through", varied: true}
	case keyOut, keyOutName:
		return &match{name: "the interface that it goes out through", varied: true}
	case 1, 15:
		return &match{name: "the family", varied: true}
	}
	names := map[uint32]string{
		0: "the length", 2: "the priority", 3: "the mark", 8: "the type of the interface", 9: "the type of the interface",
		10: "the user", 11: "the group", 13: "the realm", 14: "the security mark", 19: "the type of the frame", 20: "the processor",
		21: "the group of the interface", 22: "the group of the interface", 23: "the cgroup", 26: "the kind of the interface",
		27: "the kind of the interface", 30: "the time", 31: "the day", 32: "the hour",
	}
	if name, known := names[key]; known {
		return &match{name: name}
	}
	return &match{name: "meta"}
}

// ctSubject tells what ct loads (enum nft_ct_keys).
func ctSubject(key uint32) *match {
	if key == keyState {
		return &match{kind: "state", name: "the state", varied: true}
	}
	names := map[uint32]string{1: "the direction of the connection", 2: "the status of the connection", 3: "the mark of the connection", 6: "the connection's helper"}
	if name, known := names[key]; known {
		return &match{name: name}
	}
	return &match{name: "what connection tracking knows"}
}

// Names of matches that others look for.
const (
	sourcePort = "the source port"
	bothPorts  = "the ports"
)

// payloadSubject tells ports, addresses and protocols by where they are in a
// header (RFC 791, 8200, 9293, 768).
func payloadSubject(e expression) *match {
	base, offset, length := e.data.Uint32(payloadBase), e.data.Uint32(payloadOffset), e.data.Uint32(payloadLength)
	switch {
	case base == transportBase && offset == 2 && length == 2:
		return &match{kind: "port", name: "the port", varied: true}
	case base == transportBase && offset == 0 && length == 2:
		return &match{kind: "port", name: sourcePort, varied: true}
	case base == transportBase && offset == 0 && length == 4:
		return &match{kind: "ports", name: bothPorts, varied: true}
	case base == networkBase && (offset == 12 && length <= 4 || offset == 8 && length > 4):
		return &match{kind: "address", name: "the source address", varied: true}
	case base == networkBase && (offset == 16 && length <= 4 || offset == 24 && length > 4):
		return &match{kind: "address", name: "the destination address", varied: true}
	case base == networkBase && (offset == 9 || offset == 6) && length == 1:
		return &match{kind: "protocol", name: "the protocol", varied: true}
	case base == transportBase && offset == 0 && length == 1:
		return &match{name: "the type of ICMP", varied: true}
	case base == transportBase && offset == 1 && length == 1:
		return &match{name: "the code of ICMP"}
	case base == transportBase && offset == 13 && length == 1:
		return &match{name: "the TCP flags"}
	}
	return &match{name: "a header field"}
}
