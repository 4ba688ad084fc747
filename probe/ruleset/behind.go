package ruleset

import (
	"net/netip"
	"slices"
)

// Behind are the networks that rules expect behind an interface, by its name:
// the destinations that they match together with going out there. Docker, for
// one, writes such a rule for each container that is to be reached.
func (r *Ruleset) Behind() map[string][]netip.Prefix {
	behind := map[string][]netip.Prefix{}
	for _, t := range r.Tables {
		for _, c := range t.Chains {
			for _, rule := range c.Rules {
				b, ok := bodyOf(rule)
				if !ok {
					continue
				}
				out := b.outInterface()
				if out == "" {
					continue
				}
				for _, m := range b.matches() {
					if m.name != "the destination address" || !b.spans(*m) && slices.ContainsFunc(m.ends, b.inverts) {
						continue
					}
					b.noteAddresses(t, *m, func(_ bool, s Span) {
						if network, ok := s.prefix(); ok && !slices.Contains(behind[out], network) {
							behind[out] = append(behind[out], network)
						}
					})
				}
			}
		}
	}
	return behind
}

// outInterface is the one that a rule asks a packet to go out at; "" where it
// names none, or asks for another.
func (b body) outInterface() string {
	for _, m := range b.matches() {
		if m.name != "the interface that it goes out through" || len(m.ends) != 1 || b.inverts(m.ends[0]) {
			continue
		}
		value, _ := b[m.ends[0]].data.Nested(cmpData).Find(dataValue)
		if name, ok := interfaceName(value); ok {
			return name
		}
	}
	return ""
}

// inverts says that a comparison matches what is not so.
func (b body) inverts(i int) bool {
	const (
		lookupFlags = 5
		inverted    = 1 // NFT_LOOKUP_F_INV
	)
	e := b[i]
	switch e.name {
	case "cmp":
		return e.data.Uint32(cmpOperation) != cmpEqual
	case "range":
		return e.data.Uint32(rangeOperation) != 0
	case "lookup":
		return e.data.Uint32(lookupFlags)&inverted != 0
	}
	return false
}

// prefix is the network that the span is, where it is one that a route can lead
// to.
func (s Span) prefix() (netip.Prefix, bool) {
	if !s.First.IsValid() || !s.Last.IsValid() || s.First.IsMulticast() || s.First.IsLoopback() {
		return netip.Prefix{}, false
	}
	for bits := 1; bits <= s.First.BitLen(); bits++ {
		p := netip.PrefixFrom(s.First, bits)
		if p.Masked().Addr() == s.First && lastIn(p) == s.Last {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// lastIn is the last address of a network.
func lastIn(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
