package udp

import (
	"errors"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("tells an unconnected socket of a closed port only where it asks", check.Check{
	ID: "UDP-005", Grade: check.GradeFail, OS: "linux",
	Source: "ip(7), IP_RECVERR; udp(7), error handling; RFC 792 (destination unreachable, code 3); RFC 1122 4.1.3.3",
	Asks:   "Sends from two unconnected sockets to a port of 127.0.0.1 that is held closed. The one with IP_RECVERR must find ICMP type 3, code 3 in its error queue; of the other, neither a second send nor SO_ERROR may show an error.",
	Why:    "A server answers thousands of clients from one socket. Were an error that one of them caused reported there, the loop of many servers would end: Windows does so (WSAECONNRESET). Those who want to know, such as DNS servers and traceroute, ask for it.",
	Causes: []string{
		"a firewall drops ICMP, drops datagrams to closed ports in silence, or rejects them with another code",
		spec.OtherStack,
	},
	Remedies: []string{
		"let ICMP errors pass: for each base chain of the input and output hooks that `nft list ruleset` shows, `nft insert rule FAMILY TABLE CHAIN icmp type destination-unreachable accept`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	held, closed, err := sock.ClosedUDP(sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(held.Close)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	plain, _ := bound(sock.IPv4)
	asking, _ := bound(sock.IPv4)
	Expect(asking.QueueErrors()).To(Succeed())
	for _, s := range []*sock.Socket{plain, asking} {
		Expect(s.SendTo(deadline, []byte("anybody?"), closed, 0)).To(Equal(8), "bytes sent to closed port %v", closed)
	}

	_, err = asking.Poll(deadline, 0)
	Expect(err).NotTo(HaveOccurred(), "the error of sending to closed port %v, with IP_RECVERR", closed)
	queued, err := asking.QueuedError()
	Expect(err).NotTo(HaveOccurred())
	Expect(queued).To(HaveValue(Equal(sock.ICMPError{Type: 3, Code: 3})), "the error of sending to closed port %v, with IP_RECVERR", closed)

	_, err = plain.SendTo(deadline, []byte("anybody?"), closed, 0)
	Expect(err).NotTo(HaveOccurred(), "sending to closed port %v a second time, without IP_RECVERR", closed)
	Expect(plain.PendingError()).To(Succeed(), "SO_ERROR after sending to closed port %v, without IP_RECVERR", closed)
	spec.Evidence("closed port", "%v: %v with IP_RECVERR, nothing without", closed, queued)
})

var _ = suite.It("gives a connected socket its peer's datagrams only", check.Check{
	ID: "UDP-006", Grade: check.GradeFail, OS: "linux",
	Source: "connect(2) (the only address from which datagrams are received); udp(7)",
	Asks:   "Connects a socket on 127.0.0.1 to one of two others. Both send to it in turn; it must receive what its peer sent and nothing else.",
	Why:    "Resolvers, NTP and QUIC clients connect their sockets so that the kernel keeps forged answers away. Where it does not, anybody who guesses the port answers in the server's place.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program (sk_lookup, connect4 on the cgroup) or a preloaded library leaves the connect out",
		datagramsDropped,
	},
	Remedies: []string{
		"look for programs: `bpftool net`, `bpftool cgroup tree`",
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	receiver, to := bound(sock.IPv4)
	peer, peerAddr := bound(sock.IPv4)
	stranger, strangerAddr := bound(sock.IPv4)
	Expect(receiver.StartConnect(peerAddr)).To(Succeed())
	buf := make([]byte, 64)
	for _, text := range []string{"first", "second"} {
		Expect(stranger.SendTo(deadline, []byte("forged"), to, 0)).To(Equal(len("forged")), "bytes that a stranger sent to %v", to)
		Expect(peer.SendTo(deadline, []byte(text), to, 0)).To(Equal(len(text)), "bytes that the peer sent to %v", to)
		n, who, err := receiver.RecvFrom(deadline, buf, 0)
		Expect(err).NotTo(HaveOccurred(), "the peer's datagram %q", text)
		Expect(string(buf[:n])).To(Equal(text), "what a socket received that is connected to %v, from %v", peerAddr, who)
		Expect(who).To(Equal(peerAddr), "sender of what a connected socket received")
	}
	spec.Evidence("received", "two datagrams of the peer at %v, none of the stranger at %v", peerAddr, strangerAddr)
})

var _ = suite.It("lets a connected socket send elsewhere", check.Check{
	ID: "UDP-007", Grade: check.GradeFail, OS: "linux",
	Source: "udp(7) (the default destination may be overridden by sendto(2))",
	Asks:   "Connects a socket to one of two others on 127.0.0.1 and sends to the other by its address, then to its peer without one. Each must receive its own.",
	Why:    "Programs written for Linux keep one socket for a server and its fallback. Where it is refused, as with EISCONN on macOS, they lose the fallback when they need it.",
	Causes: []string{
		spec.OtherStack,
		datagramsDropped,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	client, clientAddr := bound(sock.IPv4)
	peer, peerAddr := bound(sock.IPv4)
	other, otherAddr := bound(sock.IPv4)
	Expect(client.StartConnect(peerAddr)).To(Succeed())
	_, err := client.SendTo(deadline, []byte("to another"), otherAddr, 0)
	Expect(err).NotTo(HaveOccurred(), "sending to %v on a socket that is connected to %v", otherAddr, peerAddr)
	Expect(from(deadline, other, clientAddr)).To(Equal("to another"), "what %v received", otherAddr)
	_, err = client.Send(deadline, []byte("to the peer"), 0)
	Expect(err).NotTo(HaveOccurred(), "sending to the peer afterwards")
	Expect(from(deadline, peer, clientAddr)).To(Equal("to the peer"), "what the peer at %v received", peerAddr)
	spec.Evidence("received", "%v what was sent to its address, the peer %v what was sent without one", otherAddr, peerAddr)
})

var _ = suite.It("refuses to send to port 0 and to nobody", check.Check{
	ID: "UDP-011", Grade: check.GradeFail, OS: "linux",
	Source: "send(2), EDESTADDRREQ; udp(7) and ip(7), EINVAL; RFC 768 (port 0 is no destination)",
	Asks:   "Sends a datagram to port 0 of 127.0.0.1, which must give EINVAL, and one without an address on a socket that is not connected, which must give EDESTADDRREQ.",
	Why:    "A port that was left out of a configuration is 0, and a connect that was forgotten leaves no peer. Refused, both show at the first datagram; taken, metrics and logs vanish and nobody is told.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program (sendmsg4 on the cgroup) rewrites destinations",
	},
	Remedies: []string{
		spec.OwnStack,
		"look for programs: `bpftool cgroup tree`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	s, _ := bound(sock.IPv4)
	_, err := s.SendTo(deadline, []byte("x"), sock.IPv4.Loopback(0), 0)
	Expect(err).To(MatchError(syscall.EINVAL), "sending to port 0 of 127.0.0.1")
	_, err = s.Send(deadline, []byte("x"), 0)
	Expect(err).To(MatchError(syscall.EDESTADDRREQ), "sending without a destination")
	spec.Evidence("refused", "port 0: %s; no destination: %s", syscall.EINVAL, syscall.EDESTADDRREQ)
})

var _ = suite.It("gives the automatic port back when the peer is taken away", check.Check{
	ID: "UDP-020", Grade: check.GradeFail, OS: "linux",
	Source: "connect(2) (AF_UNSPEC dissolves the association); udp(7)",
	Asks:   "Connects a socket without a port to 127.0.0.1, which gives it one, and then to AF_UNSPEC: it must have no port any more, and another socket can be bound to that one. A port that was bound by its number must stay.",
	Why:    "Resolvers connect a socket only to learn which source address the kernel would use, hundreds of times. If each kept a port, the ephemeral range would be used up; if bound ports were given back, a server would stop receiving.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program (connect4 on the cgroup) or a preloaded library answers connect",
	},
	Remedies: []string{
		spec.OwnStack,
		"see who holds ports: `ss -uanp`",
	},
}, func(SpecContext) {
	_, peer := bound(sock.IPv4)
	var given netip.AddrPort
	s, err := sock.New(sock.UDP, sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	// Somebody else may be given the port first.
	const tries = 4
	for range tries {
		given, err = releasedPort(peer)
		Expect(err).NotTo(HaveOccurred())
		if err = s.Bind(given); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	Expect(err).NotTo(HaveOccurred(), "bind the port that a disconnected socket had")

	Expect(s.StartConnect(peer)).To(Succeed())
	Expect(s.Disconnect()).To(Succeed())
	kept, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	Expect(kept.Port()).To(Equal(given.Port()), "port of a socket that was bound to %v, connected and disconnected", given)
	spec.Evidence("ports", "automatic %d was given back, the same, bound, was kept", given.Port())
})

// releasedPort connects and disconnects a socket without a port and returns
// the address that it had in between.
func releasedPort(peer netip.AddrPort) (netip.AddrPort, error) {
	GinkgoHelper()
	s, err := sock.New(sock.UDP, sock.IPv4)
	if err != nil {
		return netip.AddrPort{}, err
	}
	DeferCleanup(s.Close)
	if err := s.StartConnect(peer); err != nil {
		return netip.AddrPort{}, err
	}
	given, err := s.LocalAddr()
	if err != nil {
		return netip.AddrPort{}, err
	}
	Expect(given.Port()).NotTo(BeZero(), "automatic port of a socket that was connected to %v", peer)
	if err := s.Disconnect(); err != nil {
		return netip.AddrPort{}, err
	}
	left, err := s.LocalAddr()
	if err != nil {
		return netip.AddrPort{}, err
	}
	Expect(left.Port()).To(BeZero(), "port of a socket that was connected to %v, given %v and disconnected", peer, given)
	return given, nil
}
