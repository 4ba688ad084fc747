package socktable_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func eachAddress(t *testing.T, test func(t *testing.T, to string, family sock.Family)) {
	for to, family := range map[string]sock.Family{"127.0.0.1:0": sock.IPv4, "[::1]:0": sock.IPv6} {
		t.Run(family.String(), func(t *testing.T) { test(t, to, family) })
	}
}

func TestListenerIsListedWithItsQueue(t *testing.T) {
	eachAddress(t, func(t *testing.T, to string, family sock.Family) {
		g := NewWithT(t)
		fd, addr := listener(t, to, 7)
		_, first := connected(t, unix.SOCK_STREAM, addr)
		connected(t, unix.SOCK_STREAM, addr)
		// The last segment of a handshake may still be under way.
		g.Eventually(func() uint32 { return find(t, read(t, withOwners), fd).ReceiveQueue }).WithTimeout(patience).Should(BeEquivalentTo(2))

		table := read(t, withOwners)
		s := find(t, table, fd)
		g.Expect(s.Protocol).To(Equal(socktable.TCP))
		g.Expect(s.Family).To(Equal(family))
		g.Expect(s.State).To(Equal(sock.Listening))
		g.Expect(s.Local).To(Equal(addr))
		g.Expect(s.Remote.IsValid()).To(BeFalse())
		g.Expect(s.ReceiveQueue).To(BeEquivalentTo(2), "connections wait to be accepted")
		g.Expect(s.SendQueue).To(BeEquivalentTo(7), "the backlog")
		g.Expect(s.UID).To(BeEquivalentTo(os.Geteuid()))
		g.Expect(s.Cookie).To(Equal(cookieOf(t, fd)))
		g.Expect(s.Interface).To(BeZero())
		g.Expect(s.Shutdown).To(BeZero())
		g.Expect(s.Listens()).To(BeTrue())
		if family == sock.IPv6 {
			g.Expect(s.V6Only).To(Equal(socktable.On), "an IPv6 address takes no IPv4")
		}
		expectMine(t, s, fd)

		waiting := where(table, func(s socktable.Socket) bool { return s.Local == addr && s.Remote == first })
		g.Expect(waiting).To(HaveLen(1))
		g.Expect(waiting[0].State).To(Equal(sock.Established))
		g.Expect(waiting[0].Ownership).To(Equal(socktable.NoProcess), "it is not accepted yet")
		g.Expect(waiting[0].Inode).To(BeZero())
	})
}

func TestConnectionIsListedFromBothEnds(t *testing.T) {
	eachAddress(t, func(t *testing.T, to string, _ sock.Family) {
		g := NewWithT(t)
		l, addr := listener(t, to, 1)
		client, clientAddr := connected(t, unix.SOCK_STREAM, addr)
		server := accept(t, l)
		g.Expect(unix.Write(client, []byte("hello"))).To(Equal(5))
		arrived(t, server)
		g.Expect(unix.Shutdown(server, unix.SHUT_RD)).To(Succeed())

		table := read(t, withOwners)
		c, s := find(t, table, client), find(t, table, server)
		g.Expect([]netip.AddrPort{c.Local, c.Remote}).To(Equal([]netip.AddrPort{clientAddr, addr}))
		g.Expect([]netip.AddrPort{s.Local, s.Remote}).To(Equal([]netip.AddrPort{addr, clientAddr}))
		g.Expect(c.State).To(Equal(sock.Established))
		g.Expect(s.ReceiveQueue).To(BeEquivalentTo(5))
		g.Expect(s.Shutdown).To(Equal(socktable.ShutdownRead))
		g.Expect(s.Listens()).To(BeFalse())
		g.Expect(s.CgroupID).To(Equal(c.CgroupID))
		expectMine(t, c, client)
		expectMine(t, s, server)
	})
}

func TestUnsentBytesAreCounted(t *testing.T) {
	g := NewWithT(t)
	l, addr := listener(t, "127.0.0.1:0", 1)
	client, _ := connected(t, unix.SOCK_STREAM, addr)
	accept(t, l)
	g.Expect(unix.SetNonblock(client, true)).To(Succeed())
	for sent := make([]byte, 1<<16); ; {
		if _, err := unix.Write(client, sent); err != nil {
			g.Expect(err).To(MatchError(unix.EAGAIN))
			break
		}
	}
	g.Expect(find(t, read(t, socktable.Options{}), client).SendQueue).NotTo(BeZero())
}

func TestTimeWaitHasNoProcess(t *testing.T) {
	alone(t)
	g := NewWithT(t)
	l, addr := listener(t, "127.0.0.1:0", 1)
	client, clientAddr := connected(t, unix.SOCK_STREAM, addr)
	server := accept(t, l)
	// Whoever closes first waits.
	g.Expect(unix.Shutdown(client, unix.SHUT_WR)).To(Succeed())
	g.Expect(unix.Shutdown(server, unix.SHUT_WR)).To(Succeed())
	g.Eventually(func() []socktable.Socket {
		return where(read(t, withOwners), func(s socktable.Socket) bool { return s.Local == clientAddr })
	}).WithTimeout(patience).Should(ConsistOf(And(
		HaveField("State", sock.TimeWait),
		HaveField("Remote", addr),
		HaveField("Ownership", socktable.NoProcess),
		HaveField("Inode", BeZero()),
		HaveField("UID", BeEquivalentTo(-1)),
	)))
}

func TestUDPIsListed(t *testing.T) {
	eachAddress(t, func(t *testing.T, to string, family sock.Family) {
		g := NewWithT(t)
		server := open(t, domainOf(netip.MustParseAddrPort(to)), unix.SOCK_DGRAM, 0)
		addr := bind(t, server, to)
		client, clientAddr := connected(t, unix.SOCK_DGRAM, addr)
		g.Expect(unix.Write(client, []byte("hello"))).To(Equal(5))
		arrived(t, server)

		table := read(t, withOwners)
		s, c := find(t, table, server), find(t, table, client)
		g.Expect(s.Protocol).To(Equal(socktable.UDP))
		g.Expect(s.Family).To(Equal(family))
		g.Expect(s.State).To(Equal(sock.Closed))
		g.Expect(s.Local).To(Equal(addr))
		g.Expect(s.Remote.IsValid()).To(BeFalse())
		g.Expect(s.Listens()).To(BeTrue())
		g.Expect(s.ReceiveQueue).To(BeNumerically(">=", 5))
		g.Expect(c.State).To(Equal(sock.Established))
		g.Expect([]netip.AddrPort{c.Local, c.Remote}).To(Equal([]netip.AddrPort{clientAddr, addr}))
		g.Expect(c.Listens()).To(BeFalse())
		expectMine(t, s, server)
		expectMine(t, c, client)
	})
}

func TestRawIsListed(t *testing.T) {
	for family, domain := range map[sock.Family]int{sock.IPv4: unix.AF_INET, sock.IPv6: unix.AF_INET6} {
		t.Run(family.String(), func(t *testing.T) {
			g := NewWithT(t)
			// Experimentation and testing (RFC 3692): nothing arrives on it.
			const protocol = 253
			fd := open(t, domain, unix.SOCK_RAW, protocol)
			s := find(t, read(t, withOwners), fd)
			g.Expect(s.Protocol).To(Equal(socktable.Raw))
			g.Expect(s.Family).To(Equal(family))
			g.Expect(s.IPProtocol).To(BeEquivalentTo(protocol))
			g.Expect(s.State).To(Equal(sock.Closed))
			g.Expect(s.Local.Addr().IsUnspecified()).To(BeTrue())
			g.Expect(s.Local.Port()).To(BeZero())
			g.Expect(s.UID).To(BeEquivalentTo(os.Geteuid()))
			g.Expect(s.String()).To(ContainSubstring("proto 253 UNCONN"))
			expectMine(t, s, fd)
		})
	}
}

// Where sock_diag lacks a protocol the table says so, and why.
func TestGapsAreNamed(t *testing.T) {
	g := NewWithT(t)
	for _, gap := range read(t, socktable.Options{}).Gaps {
		g.Expect(gap.Protocol).To(Equal(socktable.Raw), "what every kernel lists: %s", gap)
		g.Expect(gap.Listed).To(BeTrue(), "%s", gap)
		g.Expect(gap.Err).To(MatchError(unix.ENOENT))
		g.Expect(gap.String()).To(HavePrefix("raw over " + gap.Family.String() + " listed in part: ask sock_diag: "))
	}
}

func TestBoundSocketIsListed(t *testing.T) {
	g := NewWithT(t)
	fd := open(t, unix.AF_INET, unix.SOCK_STREAM, 0)
	addr := bind(t, fd, "127.0.0.1:0")
	inode := inodeOf(t, fd)
	found := where(read(t, socktable.Options{
		Protocols: []socktable.Protocol{socktable.TCP}, States: []sock.TCPState{sock.Closed},
	}), func(s socktable.Socket) bool { return s.Inode == inode })
	if len(found) == 0 && !kernelAtLeast(t, 6, 8) {
		t.Skip("Linux lists sockets that are only bound since 6.8")
	}
	g.Expect(found).To(ConsistOf(And(HaveField("Local", addr), HaveField("State", sock.Closed))))
}

func kernelAtLeast(t *testing.T, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &haveMajor, &haveMinor); err != nil {
		t.Fatal(err)
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}

func TestInterfaceAndV6OnlyAreTold(t *testing.T) {
	g := NewWithT(t)
	fd := open(t, unix.AF_INET6, unix.SOCK_STREAM, 0)
	g.Expect(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)).To(Succeed())
	missing(t, unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo"))
	addr := bind(t, fd, "[::]:0")
	g.Expect(unix.Listen(fd, 1)).To(Succeed())
	s := find(t, read(t, socktable.Options{}), fd)
	g.Expect(s.V6Only).To(Equal(socktable.On))
	g.Expect(s.Interface.Name).To(Equal("lo"))
	g.Expect(s.String()).To(HavePrefix(fmt.Sprintf("tcp [::%%lo]:%d LISTEN (uid ", addr.Port())))
}

func TestMappedAddressStaysMapped(t *testing.T) {
	g := NewWithT(t)
	l := open(t, unix.AF_INET6, unix.SOCK_STREAM, 0)
	addr := bind(t, l, "[::]:0")
	g.Expect(unix.Listen(l, 1)).To(Succeed())
	connected(t, unix.SOCK_STREAM, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port()))
	server := accept(t, l)
	table := read(t, socktable.Options{})
	g.Expect(find(t, table, l).V6Only).To(Equal(socktable.Off))
	s := find(t, table, server)
	g.Expect(s.Family).To(Equal(sock.IPv6))
	g.Expect(s.Local.Addr()).To(Equal(netip.MustParseAddr("::ffff:127.0.0.1")))
}

func TestProtocolsAndStatesAreSelected(t *testing.T) {
	g := NewWithT(t)
	l, addr := listener(t, "127.0.0.1:0", 1)
	connected(t, unix.SOCK_STREAM, addr)
	accept(t, l)
	udp := open(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	bind(t, udp, "127.0.0.1:0")

	table := read(t, socktable.Options{
		Protocols: []socktable.Protocol{socktable.TCP}, States: []sock.TCPState{sock.Listening},
	})
	g.Expect(table.Sockets).To(HaveEach(And(
		HaveField("Protocol", socktable.TCP), HaveField("State", sock.Listening),
		HaveField("Ownership", socktable.NotAsked), HaveField("Owners", BeEmpty()),
	)))
	find(t, table, l)

	table = read(t, socktable.Options{Protocols: []socktable.Protocol{socktable.UDP, socktable.Raw}})
	g.Expect(table.Sockets).To(HaveEach(HaveField("Protocol", Or(Equal(socktable.UDP), Equal(socktable.Raw)))))
	find(t, table, udp)

	_, err := socktable.Read(bounded(t), socktable.Options{Protocols: []socktable.Protocol{99}})
	g.Expect(err).To(MatchError("list sockets of protocol 99: no such table"))
}

// A thread in a namespace of its own sees that one's sockets alone.
func TestTableIsOfTheThreadsNamespace(t *testing.T) {
	root(t, "for a network namespace")
	outside, _ := listener(t, "127.0.0.1:0", 1)
	inode := inodeOf(t, outside)
	type result struct {
		table *socktable.Table
		raw   uint32
		err   error
	}
	done := make(chan result)
	go func() {
		// It stays locked, so that the thread ends with the goroutine.
		runtime.LockOSThread()
		var r result
		defer func() { done <- r }()
		if r.err = unix.Unshare(unix.CLONE_NEWNET); r.err != nil {
			return
		}
		var fd int
		if fd, r.err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 253); r.err != nil {
			return
		}
		defer unix.Close(fd)
		var stat unix.Stat_t
		r.err = unix.Fstat(fd, &stat)
		r.raw = uint32(stat.Ino)
		if r.err == nil {
			r.table, r.err = socktable.Read(t.Context(), withOwners)
		}
	}()
	r := <-done
	missing(t, r.err)
	g := NewWithT(t)
	g.Expect(where(r.table, func(s socktable.Socket) bool { return s.Inode == inode })).To(BeEmpty())
	g.Expect(where(r.table, func(s socktable.Socket) bool { return s.Protocol == socktable.Raw })).
		To(ConsistOf(HaveField("Inode", r.raw)))
}
