package socktable_test

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// patience bounds what has to happen at once on loopback.
const patience = 10 * time.Second

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func read(t testing.TB, o socktable.Options) *socktable.Table {
	t.Helper()
	table, err := socktable.Read(bounded(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

var withOwners = socktable.Options{Owners: true}

// open opens a socket for as long as the test runs.
func open(t *testing.T, domain, kind, protocol int) int {
	t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	missing(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// bind binds an inet socket and returns where it is.
func bind(t *testing.T, fd int, to string) netip.AddrPort {
	t.Helper()
	missing(t, unix.Bind(fd, sockaddr(netip.MustParseAddrPort(to))))
	return localAddr(t, fd)
}

// listener is a TCP socket that listens at an address.
func listener(t *testing.T, to string, backlog int) (int, netip.AddrPort) {
	t.Helper()
	fd := open(t, domainOf(netip.MustParseAddrPort(to)), unix.SOCK_STREAM, 0)
	addr := bind(t, fd, to)
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	return fd, addr
}

// connected is a socket connected to an address.
func connected(t *testing.T, kind int, to netip.AddrPort) (int, netip.AddrPort) {
	t.Helper()
	fd := open(t, domainOf(to), kind, 0)
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		t.Fatal(err)
	}
	return fd, localAddr(t, fd)
}

func accept(t *testing.T, listener int) int {
	t.Helper()
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// arrived waits until something is to be received, and leaves it there.
func arrived(t *testing.T, fd int) {
	t.Helper()
	if _, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_PEEK); err != nil {
		t.Fatal(err)
	}
}

func domainOf(addr netip.AddrPort) int {
	if addr.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

func localAddr(t *testing.T, fd int) netip.AddrPort {
	t.Helper()
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
	}
	t.Fatalf("descriptor %d is of no inet socket", fd)
	return netip.AddrPort{}
}

func inodeOf(t *testing.T, fd int) uint32 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		t.Fatal(err)
	}
	return uint32(stat.Ino)
}

func cookieOf(t *testing.T, fd int) uint64 {
	t.Helper()
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// find is the entry of a descriptor's socket; it fails the test where the
// table has none, or several.
func find(t *testing.T, table *socktable.Table, fd int) socktable.Socket {
	t.Helper()
	inode := inodeOf(t, fd)
	found := where(table, func(s socktable.Socket) bool { return s.Inode == inode })
	if len(found) != 1 {
		t.Fatalf("the table has %d sockets with inode %d", len(found), inode)
	}
	return found[0]
}

func where(table *socktable.Table, is func(socktable.Socket) bool) []socktable.Socket {
	var found []socktable.Socket
	for _, s := range table.Sockets {
		if is(s) {
			found = append(found, s)
		}
	}
	return found
}

// alone gives root's test a network namespace of its own, where no other process
// opens sockets, nor has left connections in TIME_WAIT, whose ports the kernel gives
// to others. The test's thread ends with it; a part of it joins with its own.
func alone(t *testing.T) (join func()) {
	t.Helper()
	among := func() {}
	if os.Geteuid() != 0 {
		return among
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Logf("among all others: %v", err)
		return among
	}
	if err := iface.Raise("lo"); err != nil {
		t.Fatal(err)
	}
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	return func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
	}
}

// root skips the test for an ordinary user.
func root(t *testing.T, reason string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root " + reason)
	}
}
