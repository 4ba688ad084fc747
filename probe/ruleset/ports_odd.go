package ruleset

import "slices"

// OddPorts are the rules that compute with a port: by bits or a part of it, or by
// a hash.
func (r *Ruleset) OddPorts() []Rule {
	var list []Rule
	for _, t := range r.Tables {
		for _, c := range t.Chains {
			for _, rule := range c.Rules {
				if _, odd := rule.computesWithPort(); odd {
					list = append(list, rule)
				}
			}
		}
	}
	return list
}

// OddFor says that a rule computes with the ports of packets of a protocol, by
// its number, over IPv4 or else IPv6.
func (r *Ruleset) OddFor(ipv4 bool, protocol uint8) bool {
	for _, t := range r.Tables {
		if ipv4 && t.Family == "ip6" || !ipv4 && t.Family == "ip" {
			continue
		}
		for _, c := range t.Chains {
			for _, rule := range c.Rules {
				if only, odd := rule.computesWithPort(); odd && (only == 0 || only == protocol) {
					return true
				}
			}
		}
	}
	return false
}

// computesWithPort says so, and of which protocol alone; 0 means any.
func (r Rule) computesWithPort() (only uint8, computes bool) {
	const ports, protocol = 1, 2
	b, _ := bodyOf(r)
	loaded := map[uint32]int{} // what is in a register
	portless := func() bool { return only != 0 && !slices.Contains(withPorts, only) }
	for _, e := range b {
		switch e.name {
		case "payload", "meta":
			to, m := e.loads()
			if m == nil {
				continue
			}
			delete(loaded, to)
			switch in, partly := e.inPorts(); {
			case m.kind == "protocol":
				loaded[to] = protocol
			case in && !portless() && partly:
				return only, true
			case in && !portless():
				loaded[to] = ports
			}
		case "cmp":
			if loaded[e.data.Uint32(cmpRegister)] == protocol && e.data.Uint32(cmpOperation) == cmpEqual {
				if value, _ := e.data.Nested(cmpData).Find(dataValue); len(value) == 1 {
					only = value[0]
				}
			}
		case "bitwise":
			if loaded[e.data.Uint32(bitwiseSource)] == ports {
				return only, true
			}
		case "hash":
			return only, true
		}
	}
	return 0, false
}

// inPorts says that an expression loads from where ports are, and, if so, that it
// does not load whole ones.
func (e expression) inPorts() (in, partly bool) {
	offset, length := e.data.Uint32(payloadOffset), e.data.Uint32(payloadLength)
	in = e.name == "payload" && e.data.Uint32(payloadBase) == transportBase && offset < 4 && length > 0
	return in, offset%2 != 0 || length != 2 && length != 4
}

// withPorts are the protocols whose header begins with two ports: TCP, UDP, DCCP,
// SCTP and UDP-Lite.
var withPorts = []byte{6, 17, 33, 132, 136}
