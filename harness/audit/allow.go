package audit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/portset"
)

// AllowList is what may listen on a machine.
type AllowList struct {
	// Path is the file it was read from.
	Path  string
	Rules []Rule
}

// Rule allows listeners, and asks for one on each of its ports unless it is
// Optional.
type Rule struct {
	Ports    portset.Set
	Protocol string // "tcp" or "udp"
	// Address is Anywhere, OnLoopback, or one address, which may be a wildcard.
	Address string
	// Interface is the device that the socket is bound to (SO_BINDTODEVICE);
	// empty asks for no certain one.
	Interface string
	// Process and Unit are the names of the process and of its systemd unit;
	// empty asks for no certain one.
	Process string
	Unit    string
	// Optional says that it may listen and need not.
	Optional bool
	// Reason is for people.
	Reason string
	// Line is where the rule stands in the file, 0 for one that was not read.
	Line int
}

// Addresses of a rule that are not one address.
const (
	// Anywhere is a wildcard address of either family, or of both.
	Anywhere = "every"
	// OnLoopback is whatever only the machine itself can reach.
	OnLoopback = "loopback"
)

func (r Rule) String() string {
	text := fmt.Sprintf("%s %s on %s", r.Protocol, r.Ports, r.where())
	if r.Process != "" {
		text += ", process " + r.Process
	}
	if r.Unit != "" {
		text += ", unit " + r.Unit
	}
	return text
}

func (r Rule) where() string {
	text := r.Address
	switch r.Address {
	case Anywhere:
		text = "every interface"
	case OnLoopback:
		text = "loopback only"
	}
	if r.Interface != "" {
		text += " through " + r.Interface
	}
	return text
}

// fit is how far a listener is what a rule allows.
type fit int

const (
	no fit = iota
	// unseen: all that can be seen fits, but not whose it is.
	unseen
	yes
)

// placed says whether the listener is where the rule allows one, whoever it
// belongs to.
func (r Rule) placed(l listeners.Listener) bool {
	if l.Protocol != r.Protocol || !r.Ports.Contains(l.Port) || r.Interface != "" && l.Interface != r.Interface {
		return false
	}
	switch r.Address {
	case Anywhere:
		return l.Scope == listeners.Every
	case OnLoopback:
		return l.Scope == listeners.Loopback
	}
	addr, err := netip.ParseAddr(r.Address)
	return err == nil && addr.Unmap() == l.Address.Unmap()
}

// allows says whether the listener is one that the rule allows.
func (r Rule) allows(l listeners.Listener) fit {
	switch {
	case !r.placed(l):
		return no
	case r.Process == "" && r.Unit == "":
		return yes
	case len(l.Owners) == 0:
		return unseen
	}
	mine := func(o listeners.Owner) bool {
		return (r.Process == "" || o.Process == r.Process) && (r.Unit == "" || o.Unit == r.Unit)
	}
	if slices.ContainsFunc(l.Owners, mine) {
		return yes
	}
	return no
}

// allows is the best that any rule says of a listener.
func (a *AllowList) allows(l listeners.Listener) fit {
	best := no
	for _, r := range a.Rules {
		best = max(best, r.allows(l))
	}
	return best
}

// Record is the list that allows what listens now and no more. UDP sockets on
// ephemeral ports are left out: most are clients that wait for an answer.
func Record(list listeners.List, ephemeral portset.Set) *AllowList {
	a := &AllowList{}
	for _, l := range list.Listeners {
		if passing(l, ephemeral) {
			continue
		}
		r := Rule{Ports: portset.Ports(l.Port), Protocol: l.Protocol, Address: l.Address.String(), Process: writable(l.Process), Unit: writable(l.Unit)}
		switch {
		case l.Scope == listeners.Every && l.Address.IsUnspecified():
			r.Address = Anywhere
		case l.Scope == listeners.Loopback:
			r.Address = OnLoopback
		case l.Address.IsUnspecified():
			r.Interface = l.Interface
		}
		if !slices.ContainsFunc(a.Rules, func(other Rule) bool { return other.String() == r.String() }) {
			a.Rules = append(a.Rules, r)
		}
	}
	slices.SortStableFunc(a.Rules, func(x, y Rule) int {
		return compareRules(x, y)
	})
	return a
}

// writable leaves out a name that is no text, as a process may give itself one.
func writable(name string) string {
	if !utf8.ValidString(name) {
		return ""
	}
	return name
}

func compareRules(x, y Rule) int {
	first := func(r Rule) int { return int(r.Ports.Ranges()[0].First) }
	if d := first(x) - first(y); d != 0 {
		return d
	}
	return strings.Compare(x.String(), y.String())
}

// passing tells a UDP socket that the kernel probably chose the port of.
func passing(l listeners.Listener, ephemeral portset.Set) bool {
	return l.Protocol == "udp" && ephemeral.Contains(l.Port)
}
