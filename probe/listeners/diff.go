package listeners

import (
	"net/netip"
	"slices"
)

// Diff says what began to listen between two lists and what no longer does. A
// socket is the same where its cookie is; where either list lacks cookies, as
// one from a file does, listeners of one protocol, address and port are
// counted. The opened are those of after, the closed those of before.
func Diff(before, after List) (opened, closed []Listener) {
	same := identification(before.Listeners, after.Listeners)
	return beyond(after.Listeners, before.Listeners, same), beyond(before.Listeners, after.Listeners, same)
}

// identity is what makes two descriptions be of one listener.
type identity struct {
	cookie   uint64
	protocol string
	bound    netip.AddrPort
}

func byCookie(l Listener) identity { return identity{cookie: l.Cookie} }

func byAddress(l Listener) identity { return identity{protocol: l.Protocol, bound: l.AddrPort()} }

// identification is how the listeners of several lists can be told apart.
func identification(lists ...[]Listener) func(Listener) identity {
	for _, list := range lists {
		if slices.ContainsFunc(list, func(l Listener) bool { return l.Cookie == 0 }) {
			return byAddress
		}
	}
	return byCookie
}

// beyond are those of some that the others do not have, or not as many times.
func beyond(some, others []Listener, same func(Listener) identity) []Listener {
	count := make(map[identity]int, len(others))
	for _, l := range others {
		count[same(l)]++
	}
	var rest []Listener
	for _, l := range some {
		id := same(l)
		if count[id]--; count[id] < 0 {
			rest = append(rest, l)
		}
	}
	return rest
}
