// Package socktable answers which sockets a network namespace holds and whose
// they are: every TCP, UDP, raw and unix socket, asked of the kernel over
// NETLINK_SOCK_DIAG (sock_diag(7)), and the processes that have a descriptor of
// it, found in /proc (proc_pid_fd(5)).
//
// A table is of the calling thread's network namespace. All of it is read on
// the calling goroutine, so that one locked to a thread in another namespace
// sees that one. It is not taken at one instant: what opens, closes or changes
// hands meanwhile may be missed, be listed although it is gone, or have lost
// its owner. A socket is never listed twice.
//
// What could not be seen is part of the answer. Table.Gaps names the protocols
// that this kernel does not list, or not fully; Socket.Ownership says why a
// socket has no owner, and Table.Unreadable how many processes this one was
// not allowed to look into.
//
// Asking may make the kernel load its modules tcp_diag, udp_diag, raw_diag and
// unix_diag, as ss(8) does. It is implemented on Linux; elsewhere Read returns
// an error that wraps errors.ErrUnsupported.
package socktable

import (
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// Protocol is a kind of socket that the kernel keeps a table of.
type Protocol uint8

const (
	TCP Protocol = iota + 1
	UDP
	Raw
	Unix
)

// Options says what Read looks for. The zero value lists every socket and no
// owner.
type Options struct {
	// Protocols is what to list, nil for all.
	Protocols []Protocol
	// States is what to list, nil for all. The kernel gives sockets of every
	// protocol a state of TCP: a UDP or raw socket, and a unix one without a
	// peer, is Closed, or Established once it is connected; a unix listener is
	// Listening. A TCP socket that is bound and does no more is Closed too, and
	// is listed by Linux 6.8 and later.
	States []sock.TCPState
	// Owners makes Read look into every process for descriptors of the sockets
	// found, which costs more than the list does.
	Owners bool
}

// Table is what Read found, in the kernel's order.
type Table struct {
	Sockets []Socket
	// Gaps is what was asked for and is not in Sockets, or not with all it has.
	Gaps []Gap
	// Unreadable counts processes whose descriptors this process is not allowed
	// to read (ptrace(2), access mode checking): each may own any socket. It is
	// 0 where no owners were asked for.
	Unreadable int
	// HiddenProcesses says that /proc does not even list all processes of its
	// PID namespace, as with the mount option hidepid=invisible (proc(5)).
	HiddenProcesses bool
}

// Gap is a shortcoming of a table.
type Gap struct {
	Protocol Protocol
	// Family is of no meaning for Unix.
	Family sock.Family
	// Listed says that the sockets are in the table, but not reliably all of
	// them, or, where they come from /proc/thread-self/net, without interface,
	// cookie, shutdown, V6Only and cgroup.
	Listed bool
	// Err is why; an errno of the kernel is wrapped in it.
	Err error
}

// Socket is one socket as the kernel describes it (inet_diag and unix_diag,
// sock_diag(7)).
type Socket struct {
	Protocol Protocol
	// Family is of no meaning for Unix.
	Family sock.Family
	State  sock.TCPState

	// Local is the zero AddrPort for Unix, and has port 0 for Raw. An IPv4
	// address that an IPv6 socket uses is IPv4-mapped, and a link-local one has
	// no zone: Interface says where it is.
	Local netip.AddrPort
	// Remote is the zero AddrPort where there is no peer.
	Remote netip.AddrPort
	// Interface is what the socket is bound to (SO_BINDTODEVICE, or the scope
	// of a link-local address), the zero value for none.
	Interface Interface

	// ReceiveQueue is what waits to be read, in bytes; on a listener, the
	// connections that wait to be accepted. UDP and raw sockets count the
	// kernel's overhead in.
	ReceiveQueue uint32
	// SendQueue is what is not yet acknowledged, or on UDP and raw sockets not
	// yet sent, in bytes; on a listener the backlog in force, after
	// net.core.somaxconn.
	SendQueue uint32

	// UID is the user who made the socket as the caller's user namespace
	// numbers it, -1 where the kernel does not tell. Who has it now is in
	// Owners.
	UID int64
	// Inode identifies it among open sockets, 0 where no process can hold it:
	// TIME_WAIT, a connection not yet accepted (of TCP: the kernel does not list
	// those of unix sockets), one closed but not finished.
	Inode uint32
	// Cookie identifies it for as long as the machine runs, 0 where unknown.
	Cookie uint64
	// CgroupID is the cgroup (v2) that the socket was made in, by the inode
	// number of its directory; 0 where the kernel does not tell.
	CgroupID uint64
	// V6Only is IPV6_V6ONLY (ipv6(7)), which the kernel tells of IPv6 sockets
	// that listen or are not connected. It turns it on by itself for one that is
	// bound to an IPv6 address other than ::.
	V6Only Setting
	// Shutdown is the directions already shut down (shutdown(2)).
	Shutdown Shutdown

	// IPProtocol is the number of the IP protocol a Raw socket receives.
	IPProtocol uint8
	// Unix is what only a unix socket has, nil for the others.
	Unix *UnixDetails

	// Ownership says what Owners means, and when it is empty, why.
	Ownership Ownership
	Owners    []Owner
}

// Listens says whether peers unknown to the socket may reach it: a listener of
// TCP or unix, a bound and unconnected socket of UDP, any unconnected raw one,
// or a unix datagram socket that has a name.
func (s *Socket) Listens() bool {
	switch s.Protocol {
	case UDP:
		return !s.Remote.IsValid() && s.Local.Port() != 0
	case Raw:
		return !s.Remote.IsValid()
	case Unix:
		if s.Unix != nil && s.Unix.Type == Datagram {
			return (s.Unix.Name != "" || s.Unix.Abstract) && s.Unix.Peer == 0
		}
	}
	return s.State == sock.Listening
}

// Interface is a network interface by index and, where it still exists, name.
type Interface struct {
	Index uint32
	Name  string
}

// Setting is an option that the kernel may not tell.
type Setting uint8

const (
	Unknown Setting = iota
	Off
	On
)

// Shutdown is a set of directions of a socket that are shut down.
type Shutdown uint8

const (
	ShutdownRead Shutdown = 1 << iota
	ShutdownWrite
)

// UnixType is the type of a unix socket (unix(7)).
type UnixType uint8

const (
	Stream    UnixType = 1
	Datagram  UnixType = 2
	SeqPacket UnixType = 5
)

// UnixDetails is what a unix socket has beyond others.
type UnixDetails struct {
	Type UnixType
	// Name is the path as it was given to bind(2), or the abstract name without
	// its leading NUL; empty for an unnamed socket. Any byte may be in it.
	Name     string
	Abstract bool
	// Peer is the inode of the socket at the other end, 0 for none or one that
	// no process holds.
	Peer uint32
	// PathInode and PathDevice are the file that the path named at bind(2), both
	// 0 for none; the device is in the kernel's own encoding, 20 bits of minor.
	PathInode, PathDevice uint32
}

// Ownership says what is known of the processes that hold a socket.
type Ownership uint8

const (
	// NotAsked: Options.Owners was false.
	NotAsked Ownership = iota
	// Owned: the Owners hold it. Where Table.Unreadable is not 0 there may be
	// more of them.
	Owned
	// NoProcess: it has no inode, so that no process can hold it.
	NoProcess
	// NotAllowed: none of the processes that could be read holds it, and there
	// are others.
	NotAllowed
	// NotInSight: every process in /proc was read and none holds it. It is of
	// another PID namespace, of the kernel itself, on its way over a unix
	// socket, registered with io_uring only, or gone by now.
	NotInSight
)

// Owner is a process that holds a socket. Between fork(2) and execve(2) a child
// holds all that its parent does, and is seen so. Threads that have a table of
// descriptors of their own (CLONE_FILES, unshare(2)) are not looked into,
// unless the process's first thread has ended.
type Owner struct {
	PID int
	// Name is the command name that the process gives itself, at most 15 bytes,
	// any of which may be a control character (PR_SET_NAME, prctl(2)).
	Name string
	// UID is its effective user.
	UID int64
	// Cgroup is its path in the unified hierarchy (cgroups(7)); without one, in
	// the hierarchy named systemd. It is empty where neither is there.
	Cgroup string
	// FDs are its descriptors of the socket.
	FDs []int
}
