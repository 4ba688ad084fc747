package tcp

import (
	"context"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("refuses to listen on a connection, to accept on what does not listen, and to connect a listener", check.Check{
	ID: "TCP-015", Grade: check.GradeFail, OS: "linux",
	Source: "listen(2), EINVAL; accept(2), EINVAL; connect(2), EISCONN; linux, net/ipv4/af_inet.c, inet_listen, inet_stream_connect",
	Asks:   "Connects a listener of 127.0.0.1 to its own address: EISCONN. Accepts on a socket that is bound and does not listen, and on a connection: EINVAL. Listens on a connection: EINVAL.",
	Why:    "These are mistakes of programs and of those who hand descriptors to them (systemd sockets, inetd), and the errors are all that tells. Where the calls seem to succeed, a connection is lost or a service waits for clients that cannot come.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter answers in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see whether a filter is in force: `grep Seccomp /proc/self/status`",
	},
}, func(ctx SpecContext) {
	listener, addr := listening(8)
	connect := listener.StartConnect(addr)
	Expect(connect).To(MatchError(syscall.EISCONN), "connect on the listener at %v", addr)
	idle := open()
	Expect(idle.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	_, accept := idle.TryAccept()
	Expect(accept).To(MatchError(syscall.EINVAL), "accept on a socket that does not listen")

	client := open()
	join(spec.Within(ctx, patience), client)
	_, accept = client.TryAccept()
	Expect(accept).To(MatchError(syscall.EINVAL), "accept on a connection")
	listen := client.Listen(1)
	Expect(listen).To(MatchError(syscall.EINVAL), "listen on a connection")
	spec.Evidence("misused sockets", "connect on a listener: %s; accept on what does not listen: %s; listen on a connection: %s", reason(connect), reason(accept), reason(listen))
})

var _ = suite.It("reaches 127.0.0.1 by connecting to 0.0.0.0, and ::1 by [::]", check.Check{
	ID: "TCP-017", Grade: check.GradeFail, OS: "linux",
	Source: "linux, net/ipv4/route.c, ip_route_output_key_hash_rcu, and net/ipv6/tcp_ipv6.c, tcp_v6_connect (a connect to any means loopback, as on BSD); gVisor, SocketInetLoopbackTest.TCP",
	Asks:   "Listens on 127.0.0.1 and connects to the same port of 0.0.0.0. The listener must be reached, and both addresses of the connection be 127.0.0.1. The same with ::1 and [::] where there is IPv6.",
	Why:    "Many programs connect to the address that a server says it listens on (\"http://0.0.0.0:8000\"): development servers, health checks and tests work by it. Windows refuses it, and so do some sandboxes.",
	Causes: []string{
		"a firewall or proxy takes the connection for one to another machine",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"have the program connect to 127.0.0.1 or ::1",
	},
}, func(ctx SpecContext) {
	families := []sock.Family{sock.IPv4}
	if without := spec.LacksIPv6(); without == "" {
		families = append(families, sock.IPv6)
	} else {
		spec.Evidence("[::]", "not asked: %s", without)
	}
	for _, family := range families {
		accConnectAny(spec.Within(ctx, patience), family)
	}
})

// accConnectAny connects to the unspecified address and expects to reach the
// loopback one.
func accConnectAny(ctx context.Context, family sock.Family) {
	GinkgoHelper()
	load := spec.StartLoad()
	listener, client := accOpen(family), accOpen(family)
	Expect(listener.Bind(family.Loopback(0))).To(Succeed())
	Expect(listener.Listen(8)).To(Succeed())
	addr, err := listener.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	spec.Flow("tcp", family.Loopback(0))

	anyAddr := netip.IPv4Unspecified()
	if family == sock.IPv6 {
		anyAddr = netip.IPv6Unspecified()
	}
	to := netip.AddrPortFrom(anyAddr, addr.Port())
	err = client.Connect(ctx, to)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "a connection to %v, with a listener at %v", to, addr)
	Expect(client.PeerAddr()).To(Equal(addr), "peer of a connection to %v", to)
	from, err := client.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	Expect(from.Addr()).To(Equal(addr.Addr()), "source of a connection to %v", to)
	server, err := acceptFrom(ctx, listener, from)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "the connection to %v at the listener at %v", to, addr)
	DeferCleanup(server.Close)
	spec.Evidence(to.Addr().String(), "reached %v from %v", addr, from)
}

// accOpen is open for either family.
func accOpen(family sock.Family) *sock.Socket {
	GinkgoHelper()
	s, err := sock.New(sock.TCP, family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	return s
}

var _ = suite.It("refuses a connection to port 0 as to any closed port", check.Check{
	ID: "TCP-018", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/tcp_ipv4.c, tcp_v4_connect (port 0 is not told from others); RFC 6335 6 (port 0 is reserved); RFC 9293 3.10.7.1",
	Asks:   "Connects to port 0 of 127.0.0.1: ECONNREFUSED. (macOS and Windows answer EADDRNOTAVAIL without asking anybody.)",
	Why:    "A program whose port was never set connects to 0. Being refused, it says that the service is not there and tries again; where the SYN is dropped it hangs for two minutes, and with another error it often ends.",
	Causes: []string{
		"a firewall drops segments to port 0 on loopback as invalid",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	client := accFrom()
	flowsToFreePort()
	to := sock.IPv4.Loopback(0)
	err := client.Connect(spec.Within(ctx, patience), to)
	load.ExcuseTimeout(err)
	Expect(err).To(MatchError(syscall.ECONNREFUSED), "a connection to port 0, %v", to)
	spec.Evidence("port 0", "%s", reason(err))
})

// accFrom returns a socket whose source is 127.0.0.1.
func accFrom() *sock.Socket {
	GinkgoHelper()
	s := open()
	Expect(s.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	return s
}

var _ = suite.It("refuses to connect to broadcast and multicast addresses with ENETUNREACH", check.Check{
	ID: "TCP-019", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.BindToDevice},
	Source: "linux, net/ipv4/tcp_ipv4.c, tcp_v4_connect; RFC 9293 3.9.2.3 (a connection to a multicast or broadcast address must be refused)",
	Asks:   "Connects sockets that are bound to lo (SO_BINDTODEVICE), so that nothing could leave the machine, to 255.255.255.255 and 224.0.0.1. Each must be refused at once with ENETUNREACH.",
	Why:    "TCP has one peer. A stack that sends such a SYN disturbs every machine of the network, and the program that made the mistake hangs until its timeout in place of being told.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program at the cgroup's connect hook answers in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"list the programs at the hooks: `bpftool cgroup tree`",
	},
}, func(SpecContext) {
	for _, to := range []string{"255.255.255.255:9", "224.0.0.1:9"} {
		client := accFrom()
		spec.BindToLo(client)
		err := client.StartConnect(netip.MustParseAddrPort(to))
		Expect(err).To(MatchError(syscall.ENETUNREACH), "a connection to %s", to)
		spec.Evidence(to, "%s", reason(err))
	}
})

var _ = suite.It("resets a connection whose socket is connected to AF_UNSPEC, and lets it connect anew", check.Check{
	ID: "TCP-021", Grade: check.GradeFail, OS: "linux",
	Source: "connect(2), AF_UNSPEC; linux, net/ipv4/tcp.c, tcp_disconnect",
	Asks:   "Connects a client, and then its socket to AF_UNSPEC. The peer must read ECONNRESET, the socket have no peer, and a second connection of the same socket carry bytes.",
	Why:    "Pools and proxies dissolve a connection so and keep the descriptor, which others hold as well. Where the peer is not told, it waits on a connection that is over; where the socket is of no use afterwards, the pool hands out dead ones.",
	Causes: []string{
		"a firewall drops RST segments",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	Expect(client.Disconnect()).To(Succeed())
	_, peer := client.PeerAddr()
	Expect(peer).To(MatchError(syscall.ENOTCONN), "peer of a socket after a connect to AF_UNSPEC")
	_, read := server.Recv(deadline, make([]byte, 1), 0)
	Expect(read).To(MatchError(syscall.ECONNRESET), "what the peer reads after a connect to AF_UNSPEC")

	again := join(deadline, client)
	const text = "once more"
	sendWhole(deadline, client, text, 0)
	Expect(readText(deadline, again, 2*len(text), 0, "the read at the second connection of a socket")).To(Equal(text), "what arrived over the second connection of a socket")
	spec.Evidence("after AF_UNSPEC", "the peer: %s; a second connection carried %d bytes", reason(read), len(text))
})

var _ = suite.It("tells no peer of a socket that is not connected", check.Check{
	ID: "TCP-028", Grade: check.GradeFail, OS: "linux",
	Source: "getpeername(2), ENOTCONN; gVisor, GetPeerNameUnconnected",
	Asks:   "Asks a fresh socket for its peer's address, then once it is bound to 127.0.0.1, and once it listens. Each time it must be ENOTCONN.",
	Why:    "Programs that inherit a descriptor find out by it whether it is a listener or a connection (inetd style services, SSH's logs, access lists). With an empty address in place of the error they serve a peer that is nobody.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter answers getpeername in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see whether a filter is in force: `grep Seccomp /proc/self/status`",
	},
}, func(SpecContext) {
	s := open()
	for _, step := range []struct {
		what string
		take func() error
	}{
		{"a fresh socket", func() error { return nil }},
		{"a bound socket", func() error { return s.Bind(sock.IPv4.Loopback(0)) }},
		{"a listener", func() error { return s.Listen(8) }},
	} {
		Expect(step.take()).To(Succeed())
		_, err := s.PeerAddr()
		Expect(err).To(MatchError(syscall.ENOTCONN), "peer of %s", step.what)
		spec.Evidence(step.what, "%s", reason(err))
	}
})
