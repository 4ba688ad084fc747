package listeners

import (
	"fmt"
	"slices"
	"strings"
)

// Bound is the address that it is bound to as a person would write it, such as
// "127.0.0.1", ":: and IPv4" or "fe80::1%eth0".
func (l Listener) Bound() string {
	switch {
	case l.IPv4Too:
		return l.Address.String() + " and IPv4"
	case l.Address.Is6() && (l.Address.IsLinkLocalUnicast() || l.Address.IsLinkLocalMulticast()) && l.Interface != "":
		return l.Address.String() + "%" + l.Interface
	}
	return l.Address.String()
}

// Reach is the scope in words: "loopback", "interface eth0", "one address" that
// no interface has, or "every interface".
func (l Listener) Reach() string {
	switch {
	case l.Scope == Every:
		return "every interface"
	case l.Scope == Interface && l.Interface == "":
		return "one address"
	case l.Scope == Interface:
		return "interface " + l.Interface
	}
	return string(l.Scope)
}

// Processes names the processes that hold it, each name once; "" for none.
func (l Listener) Processes() string {
	var names []string
	for _, o := range l.Owners {
		if !slices.Contains(names, o.Process) {
			names = append(names, o.Process)
		}
	}
	return strings.Join(names, ", ")
}

// String is one line such as
//
//	tcp 127.0.0.1:5432, loopback, postgres (pid 812, user postgres), postgresql.service
//
// What processes and interfaces are called stands in it as it is, control
// characters too.
func (l Listener) String() string {
	bound := l.AddrPort().String()
	if l.IPv4Too {
		bound += " and IPv4"
	}
	parts := []string{l.Protocol + " " + bound, l.Reach(), l.whose(), l.Unit, l.Container}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func (l Listener) whose() string {
	var facts []string
	if len(l.Owners) > 0 {
		facts = append(facts, fmt.Sprintf("pid %d", l.PID))
	}
	if others := len(l.Owners) - 1; others > 0 {
		facts = append(facts, fmt.Sprintf("%d more", others))
	}
	if l.User != "" {
		facts = append(facts, "user "+l.User)
	}
	who := l.Processes()
	if len(l.Owners) == 0 {
		who = l.Unowned
	}
	if len(facts) == 0 {
		return who
	}
	return strings.TrimPrefix(who+" ("+strings.Join(facts, ", ")+")", " ")
}

// String is "3 of 128": connections that wait, and the limit.
func (b Backlog) String() string { return fmt.Sprintf("%d of %d", b.Waiting, b.Limit) }
