package listeners

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// Read lists who listens in the calling thread's network namespace. What it
// could not see is in List.Unseen; the error is the context's, or says that
// nothing can be listed at all.
func Read(ctx context.Context) (List, error) {
	table, err := socktable.Read(ctx, socktable.Options{
		Protocols: []socktable.Protocol{socktable.TCP, socktable.UDP},
		// The kernel calls a UDP socket without a peer Closed.
		States: []sock.TCPState{sock.Listening, sock.Closed},
		Owners: true,
	})
	if err != nil {
		return List{}, fmt.Errorf("list who listens: %w", err)
	}
	d := newDescriber()
	list := List{Listeners: []Listener{}, Unseen: append(unseenOf(table), d.unseen...)}
	for i := range table.Sockets {
		if s := &table.Sockets[i]; s.Listens() {
			list.Listeners = append(list.Listeners, d.describe(s))
		}
	}
	sortListeners(list.Listeners)
	return list, nil
}

func sortListeners(all []Listener) {
	slices.SortStableFunc(all, func(a, b Listener) int {
		return cmp.Or(
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), a.Address.Compare(b.Address),
			cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Cookie, b.Cookie),
		)
	})
}

// bare is what a socket tells by itself: no scope, no names, and as Interface
// only what it is bound to.
func bare(s *socktable.Socket) Listener {
	l := Listener{
		Protocol:  s.Protocol.String(),
		Address:   s.Local.Addr().Unmap().WithZone(""),
		Port:      s.Local.Port(),
		Interface: s.Interface.Name,
		UID:       s.UID,
		Owners:    []Owner{},
		Cookie:    s.Cookie,
	}
	if l.Interface == "" && s.Interface.Index != 0 {
		l.Interface = strconv.FormatUint(uint64(s.Interface.Index), 10)
	}
	l.IPv4Too = s.Local.Addr() == netip.IPv6Unspecified() && s.V6Only == socktable.Off
	// A socket without a cookie was read from a file that has no limit.
	if s.Protocol == socktable.TCP && s.Cookie != 0 {
		l.Backlog = &Backlog{Waiting: s.ReceiveQueue, Limit: s.SendQueue}
	}
	return l
}

// describer adds to sockets what has to be looked up, each thing once.
type describer struct {
	interfaces interfaces
	users      map[int64]string
	containers map[int]string // by PID
	namespace  string         // the caller's PID namespace, "" for unknown
	unseen     []string
}

func newDescriber() *describer {
	d := &describer{users: map[int64]string{}, containers: map[int]string{}, namespace: pidNamespace("self")}
	addresses, err := iface.Addresses()
	if err != nil {
		d.unseen = append(d.unseen, fmt.Sprintf(
			"the interface of an address is not known: %v: allow rtnetlink(7), which seccomp profiles can forbid", err))
	}
	d.interfaces = interfacesOf(addresses)
	return d
}

func (d *describer) describe(s *socktable.Socket) Listener {
	l := bare(s)
	l.Unowned = unowned(s.Ownership)
	for _, o := range s.Owners {
		l.Owners = append(l.Owners, Owner{
			PID: o.PID, Process: o.Name, UID: o.UID,
			Unit: unitOf(o.Cgroup), Container: d.container(o),
		})
	}
	slices.SortStableFunc(l.Owners, func(a, b Owner) int {
		return cmp.Or(cmp.Compare(managerRank(a), managerRank(b)), cmp.Compare(a.PID, b.PID))
	})
	if len(l.Owners) > 0 {
		first := l.Owners[0]
		l.PID, l.Process, l.Unit, l.Container = first.PID, first.Process, first.Unit, first.Container
		if first.UID >= 0 {
			l.UID = first.UID
		}
	}
	d.name(&l)
	return l
}

// name adds what can be said of a bare listener as well.
func (d *describer) name(l *Listener) {
	l.Scope, l.Interface = d.interfaces.scopeOf(l.Address, l.Interface)
	l.User = d.user(l.UID)
}

// managerRank puts service managers behind the services they hold sockets for.
func managerRank(o Owner) int {
	if o.Process == "systemd" {
		return 1
	}
	return 0
}

func (d *describer) user(uid int64) string {
	if uid < 0 {
		return ""
	}
	name, known := d.users[uid]
	if !known {
		name = strconv.FormatInt(uid, 10)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		d.users[uid] = name
	}
	return name
}

func (d *describer) container(o socktable.Owner) string {
	name, known := d.containers[o.PID]
	if !known {
		if name = containerOf(o.Cgroup); name == "" {
			name = d.foreignNamespace(o.PID)
		}
		d.containers[o.PID] = name
	}
	return name
}

// foreignNamespace is a process's PID namespace where that is another than the
// caller's and both may be read (ptrace(2), access mode checking).
func (d *describer) foreignNamespace(pid int) string {
	other := pidNamespace(strconv.Itoa(pid))
	if other == "" || d.namespace == "" || other == d.namespace {
		return ""
	}
	return "pid namespace " + other
}

// pidNamespace is the inode number of a process's PID namespace (namespaces(7)).
func pidNamespace(process string) string {
	link, err := os.Readlink("/proc/" + process + "/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]")
}

func unowned(o socktable.Ownership) string {
	switch o {
	case socktable.NotAllowed:
		return NotAllowed
	case socktable.NoProcess:
		return "no process can hold it"
	case socktable.NotInSight:
		return "no process in sight: the kernel's own, or of another PID namespace"
	}
	return ""
}

// unseenOf says what a table lacks, and how to see it.
func unseenOf(t *socktable.Table) []string {
	lines := []string{}
	for _, gap := range t.Gaps {
		lines = append(lines, gap.String()+": "+remedyOf(gap))
	}
	if t.Unreadable > 0 {
		processes := "1 process"
		if t.Unreadable > 1 {
			processes = fmt.Sprintf("%d processes", t.Unreadable)
		}
		lines = append(lines, processes+" may not be looked into and could hold any listener: run as the machine's root, with CAP_SYS_PTRACE")
	}
	if t.HiddenProcesses {
		lines = append(lines, "/proc does not list every process (hidepid, proc(5)): run as root, or in the group that its option gid names")
	}
	return lines
}

func remedyOf(gap socktable.Gap) string {
	var errno syscall.Errno
	switch {
	case errors.Is(gap.Err, fs.ErrNotExist):
		return fmt.Sprintf("load the kernel module %s_diag", gap.Protocol)
	case errors.As(gap.Err, &errno):
		return "allow sock_diag(7), which seccomp profiles can forbid"
	}
	return "ask again when fewer sockets open and close"
}
