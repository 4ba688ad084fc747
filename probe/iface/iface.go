// Package iface answers what the kernel says of the machine's network
// interfaces, of the addresses on them, and of the way to an address. It asks
// over rtnetlink (rtnetlink(7)), so that the answer is that of the calling
// thread's network namespace; sysfs would show the one it was mounted in.
//
// It is implemented on Linux. Elsewhere every function but Owns returns an error
// that wraps errors.ErrUnsupported.
package iface

import (
	"fmt"
	"net/netip"
)

// State is the operational state of an interface with the numbers of RFC 2863
// 6, ifOperStatus, as Linux has them (Documentation/networking/operstates.rst).
type State uint8

const (
	Unknown State = iota
	NotPresent
	Down
	LowerLayerDown
	Testing
	Dormant
	Up
)

// String is the state as ip(8) prints it.
func (s State) String() string {
	names := [...]string{
		Unknown: "UNKNOWN", NotPresent: "NOTPRESENT", Down: "DOWN", LowerLayerDown: "LOWERLAYERDOWN",
		Testing: "TESTING", Dormant: "DORMANT", Up: "UP",
	}
	if int(s) >= len(names) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return names[s]
}

// Link is an interface as the kernel describes it.
type Link struct {
	Name string
	// Up says that it was set up by its administrator (IFF_UP). Whether it
	// carries anything is the State.
	Up    bool
	State State
	// MTUBytes is the largest packet that it takes whole.
	MTUBytes int
	// Qdisc names its queueing discipline, such as "noqueue" (tc(8)).
	Qdisc string
	// GSOMaxSegments and GSOMaxBytes bound what is handed to it as one packet
	// and cut up later (generic segmentation offload); 0 where the kernel does
	// not tell.
	GSOMaxSegments, GSOMaxBytes uint32
	// SentBytes counts what it has sent since it was made. Of the loopback
	// interface that is also what it has received.
	SentBytes uint64
}

// Own is an address of the machine on an interface other than the loopback one.
type Own struct {
	Addr      netip.Addr
	Interface string
}

// Assigned is an address that an interface has, of whatever kind and state.
type Assigned struct {
	Addr netip.Addr
	// Broadcast is what reaches every host of its IPv4 network (RFC 919), the
	// zero Addr where there is none.
	Broadcast netip.Addr
	// Bits is the length of its prefix.
	Bits      int
	Interface string
}

func (o Own) String() string { return fmt.Sprintf("%s of %s", o.Addr, o.Interface) }

// Route is the way that the kernel would send a packet.
type Route struct {
	// Local says that the packet is for this machine.
	Local bool
	// Interface is what it would be sent through.
	Interface string
}

func (r Route) String() string {
	if r.Local {
		return "local, through " + r.Interface
	}
	return "to another machine, through " + r.Interface
}
