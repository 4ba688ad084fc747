package tcp

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("gives a socket that listens without a bind an ephemeral port", check.Check{
	ID: "TCP-016", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.BindToDevice},
	Source: "ip(7) (listen on an unbound socket binds it to a random free port); Documentation/networking/ip-sysctl.rst, ip_local_port_range; gVisor, TCPListenUnbound",
	Asks:   "Listens on a socket that was never bound, for lo alone (SO_BINDTODEVICE). It must have a port of net.ipv4.ip_local_port_range then, on which 127.0.0.1 is served.",
	Why:    "RPC services, FTP in active mode and test servers take a port so and tell their peers which it is. Where the socket has none, or one outside the range, they are announced and cannot be reached.",
	Causes: []string{
		"every port of the range is in use, by connections or by sockets that were never closed",
		spec.OtherStack,
	},
	Remedies: []string{
		"see who holds ports with `ss -tanp`, and if `sysctl net.ipv4.ip_local_port_range` shows a narrow range: `sysctl -w net.ipv4.ip_local_port_range='32768 60999'`",
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	const setting = "net.ipv4.ip_local_port_range"
	deadline := spec.Within(ctx, patience)
	limits := settings(setting)
	client := accFrom()
	listener := open()
	spec.BindToLo(listener)
	Expect(listener.Listen(8)).To(Succeed(), "listen on a socket that was not bound")
	addr, err := listener.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	if now := settings(setting); now[0] != limits[0] || now[1] != limits[1] {
		spec.Inconclusive("%s was changed meanwhile, from %v to %v", setting, limits, now)
	}
	Expect(int(addr.Port())).To(And(BeNumerically(">=", limits[0]), BeNumerically("<=", limits[1])),
		"the port of a socket that listens without a bind, where %s is %v", setting, limits)

	flowsToFreePort()
	to := sock.IPv4.Loopback(addr.Port())
	Expect(client.Connect(deadline, to)).To(Succeed(), "a connection to %v, where a socket listens that was not bound", to)
	spec.Evidence("port", "%d, of %d to %d", addr.Port(), limits[0], limits[1])
})

// accHeld returns a socket that is bound to a port by its number, and so keeps
// it when it stops listening. Another holds the port meanwhile without
// listening, so that nobody else can open it.
func accHeld() (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	holder, s := open(), open()
	Expect(errors.Join(holder.SetReuseAddr(), s.SetReuseAddr())).To(Succeed())
	Expect(holder.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	addr, err := holder.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	Expect(s.Bind(addr)).To(Succeed(), "bind port %d a second time with SO_REUSEADDR, where nobody listens", addr.Port())
	flowsToFreePort()
	return s, addr
}

var _ = suite.It("ends a listener by shutdown: what waits is reset, accept gives EINVAL, new connections are refused", check.Check{
	ID: "TCP-022", Grade: check.GradeFail, OS: "linux",
	Source: "shutdown(2); accept(2), EINVAL; linux, net/ipv4/af_inet.c, inet_shutdown; gVisor, GetSocketAcceptConnWithShutdown",
	Asks:   "Connects a client to a listener on 127.0.0.1 and shuts the listener down (SHUT_RDWR) before it accepts. The client must read ECONNRESET, accept give EINVAL, the socket be in CLOSE, and a new connection be refused with ECONNREFUSED.",
	Why:    "Servers with threads stop so: shutdown wakes those that hang in accept, which closing does not. Where it does nothing, the old process goes on taking connections that nobody serves, and its threads never end.",
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
	listener, addr := accHeld()
	Expect(listener.Listen(8)).To(Succeed())
	client, _ := accQueued(deadline, listener, addr, 1)
	Expect(listener.Shutdown(sock.Both)).To(Succeed(), "shut down the listener at %v", addr)

	_, accept := listener.TryAccept()
	Expect(accept).To(MatchError(syscall.EINVAL), "accept at %v after its shutdown", addr)
	Expect(optInfo(listener)[0].State).To(Equal(sock.Closed), "state of the listener at %v after its shutdown", addr)
	_, read := client.Recv(deadline, make([]byte, 1), 0)
	Expect(read).To(MatchError(syscall.ECONNRESET), "what the client reads that waited at %v when it was shut down", addr)
	connect := open().Connect(deadline, addr)
	Expect(connect).To(MatchError(syscall.ECONNREFUSED), "a new connection to %v after its shutdown", addr)
	spec.Evidence("after shutdown", "accept: %s; the client that waited: %s; a new connection: %s", reason(accept), reason(read), reason(connect))
})

var _ = suite.It("keeps a port that was chosen by number when it listens again, and gives back one that was not", check.Check{
	ID: "TCP-023", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/af_inet.c, __inet_bind (SOCK_BINDPORT_LOCK); net/ipv4/tcp.c, tcp_set_state",
	Asks:   "Shuts a listener of 127.0.0.1 down that was bound to a port by its number, and has it listen again: it must have the same port and be reached on it. Does the same with one whose port bind chose: the port must be free for others meanwhile, and the listener get another.",
	Why:    "A server that pauses by shutdown and listen loses its clients where the port changes, and where a port is kept that nobody asked for, those who ask for it are refused by a socket that does not listen.",
	Causes: []string{
		spec.OtherStack,
		"a firewall rejects new connections on loopback",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	listener, addr := accHeld()
	Expect(listener.Listen(8)).To(Succeed())
	again := accListenAgain(listener)
	Expect(again).To(Equal(addr), "where a socket listens again that was bound to %v by number", addr)
	Expect(open().Connect(deadline, addr)).To(Succeed(), "a connection to %v, which listens again", addr)
	spec.Evidence("bound by number", "%v, then %v", addr, again)

	before, after, err := accGivenBack()
	Expect(err).NotTo(HaveOccurred())
	Expect(after.Port()).NotTo(Or(BeZero(), Equal(before.Port())), "port of a socket that listens again, where bind had chosen %v and another has that now", before)
	spec.Evidence("bound to any", "%v, then %v", before, after)
})

// accListenAgain shuts a listener down, has it listen again, and returns where.
func accListenAgain(listener *sock.Socket) netip.AddrPort {
	GinkgoHelper()
	Expect(listener.Shutdown(sock.Both)).To(Succeed(), "shut a listener down")
	Expect(listener.Listen(8)).To(Succeed(), "listen again")
	addr, err := listener.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return addr
}

// accGivenBack has a listener whose port bind chose give it back, another
// socket take it, and the listener listen again; it returns where it did before
// and after. Another process may take the port first, which looks as if it were
// kept, so it tries some ports.
func accGivenBack() (before, after netip.AddrPort, err error) {
	GinkgoHelper()
	const tries = 4
	for range tries {
		listener, addr := listening(8)
		Expect(listener.Shutdown(sock.Both)).To(Succeed(), "shut a listener down")
		other := open()
		err := other.Bind(addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(listener.Listen(8)).To(Succeed(), "listen again, where another has the port that bind had chosen")
		again, err := listener.LocalAddr()
		Expect(err).NotTo(HaveOccurred())
		return addr, again, nil
	}
	return before, after, fmt.Errorf("%d ports that bind had chosen are still in use after their listeners were shut down: %w", tries, syscall.EADDRINUSE)
}

var _ = suite.It("resets what waits when a listener is closed, and keeps what was accepted", check.Check{
	ID: "TCP-024", Grade: check.GradeFail, OS: "linux",
	Source: "close(2); RFC 9293 3.10.4 (CLOSE of a LISTEN); linux, net/ipv4/inet_connection_sock.c, inet_csk_listen_stop; gVisor, TCPListenClose",
	Asks:   "Connects two clients to a listener on 127.0.0.1, accepts the first, and closes the listener. The second must read ECONNRESET; the first and the accepted socket must still carry bytes both ways.",
	Why:    "Graceful restarts close the listener and finish what they have begun. Were accepted connections ended with it, each restart would break requests; were those that wait not reset, their clients would hang instead of trying again.",
	Causes: []string{
		"a firewall drops RST segments, or tracks connections by their listener",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	listener, addr := listening(8)
	first, from := accQueued(deadline, listener, addr, 1)
	server, err := acceptFrom(deadline, listener, from)
	Expect(err).NotTo(HaveOccurred(), "the first connection to %v", addr)
	DeferCleanup(server.Close)
	second, _ := accQueued(deadline, listener, addr, 1)
	Expect(listener.Close()).To(Succeed())

	_, read := second.Recv(deadline, make([]byte, 1), 0)
	Expect(read).To(MatchError(syscall.ECONNRESET), "what the client reads that waited at %v when it was closed", addr)
	const question, answer = "still there?", "yes"
	sendWhole(deadline, first, question, 0)
	Expect(readText(deadline, server, 2*len(question), 0, "the read of the accepted socket after its listener was closed")).To(Equal(question), "what the accepted socket read after its listener was closed")
	sendWhole(deadline, server, answer, 0)
	Expect(readText(deadline, first, 2*len(answer), 0, "the read of the client after the listener was closed")).To(Equal(answer), "what the client read after the listener was closed")
	spec.Evidence("after close", "the client that waited: %s; the accepted one exchanged %d and %d bytes", reason(read), len(question), len(answer))
})
