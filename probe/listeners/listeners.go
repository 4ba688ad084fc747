// Package listeners answers who listens on this machine: every socket of TCP
// and UDP that peers unknown to it may reach, with its process, user, systemd
// unit and container, and from where it can be reached.
//
// It is of the calling thread's network namespace. It is implemented on Linux;
// elsewhere Read returns an error that wraps errors.ErrUnsupported.
package listeners

import "net/netip"

// Scope is from where packets can reach a listener, as far as what it is bound
// to decides: a firewall may let fewer through.
type Scope string

const (
	// Loopback is the machine itself alone: an address within 127.0.0.0/8, ::1,
	// or a socket bound to the device lo. An IPv6 multicast address of interface
	// scope, which no packet leaves the machine for (RFC 4291 2.7), is one too.
	Loopback Scope = "loopback"
	// Interface is one address, or the device that the socket is bound to.
	// Another address that lo has is no Loopback: Linux answers on every
	// interface for all addresses of the machine.
	Interface Scope = "interface"
	// Every is every address of the machine: a wildcard address; or a multicast
	// address or 255.255.255.255, which is delivered whatever interface it comes
	// in through.
	Every Scope = "every"
)

// Listener is a socket that listens, with whom it belongs to.
type Listener struct {
	Protocol string `json:"proto"` // "tcp" or "udp"
	// Address is what it is bound to; an IPv4 address that an IPv6 socket is
	// bound to is IPv4.
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
	Scope   Scope      `json:"scope"`
	// Interface is the one that has the address or that the socket is bound to
	// (SO_BINDTODEVICE), empty for a wildcard address, and for an address that no
	// interface has (IP_FREEBIND in ip(7), a local route).
	Interface string `json:"interface,omitempty"`
	// IPv4Too says that a socket bound to :: takes IPv4 as well (IPV6_V6ONLY off,
	// ipv6(7)).
	IPv4Too bool `json:"ipv4_too,omitempty"`
	// Backlog is the queue of connections to be accepted; nil for UDP, and where
	// the kernel does not tell its limit.
	Backlog *Backlog `json:"backlog,omitempty"`

	// PID, Process, User, Unit and Container are those of the first of Owners;
	// 0 and empty where nothing is known. Why not is in Unowned.
	PID     int    `json:"pid"`
	Process string `json:"process"` // its command name, at most 15 bytes
	// User is the name of the user it runs as, or the number where that has none.
	// Where no process is known it is who made the socket.
	User string `json:"user"`
	// UID is that user's number, -1 where the kernel does not tell.
	UID int64 `json:"uid"`
	// Unit is the systemd unit it runs in as systemctl(1) takes it, such as
	// "ssh.service"; of a user's own services that unit, of a login the session's
	// scope.
	Unit string `json:"unit,omitempty"`
	// Container names the container that it runs in, such as
	// "docker 3f4e1a2b9c0d", from its cgroup; or, where the cgroup tells
	// nothing, its PID namespace where that is another than the caller's, such as
	// "pid namespace 4026532201".
	Container string `json:"container,omitempty"`
	// Owners are the processes that hold it, by PID. Service managers that keep
	// a socket open for a service (systemd.socket(5)) stand behind the others.
	Owners []Owner `json:"owners"`
	// Unowned says why Owners is empty: NotAllowed, or that no process is to be
	// found.
	Unowned string `json:"unowned,omitempty"`

	// Cookie identifies the socket for as long as the machine runs
	// (sock_diag(7)), 0 where unknown.
	Cookie uint64 `json:"-"`
}

// NotAllowed is Listener.Unowned where there are processes that may not be
// looked into (ptrace(2), access mode checking).
const NotAllowed = "not allowed to look"

// Backlog is the use of a listener's accept queue (listen(2)), in connections.
type Backlog struct {
	Waiting uint32 `json:"waiting"`
	// Limit is the backlog in force, after net.core.somaxconn. One connection
	// more than that fits in.
	Limit uint32 `json:"limit"`
}

// Owner is a process that holds a listener.
type Owner struct {
	PID       int    `json:"pid"`
	Process   string `json:"process"`
	UID       int64  `json:"uid"` // the effective user of the process
	Unit      string `json:"unit,omitempty"`
	Container string `json:"container,omitempty"`
}

// AddrPort is the address and port that it is bound to.
func (l Listener) AddrPort() netip.AddrPort { return netip.AddrPortFrom(l.Address, l.Port) }

// List is what Read found, in the order of port, protocol and address.
type List struct {
	Listeners []Listener `json:"listeners"`
	// Unseen says what the kernel did not list, or not fully, a line each, and
	// that processes could not be looked into; each line says how to see more.
	Unseen []string `json:"unseen"`
}
