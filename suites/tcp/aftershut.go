package tcp

import (
	"context"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("lets data be read that came before a reset", check.Check{
	ID: "TCP-055", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/tcp.c, tcp_recvmsg_locked; RFC 9293 3.10.7.4 lets a stack throw the data away",
	Asks:   "Sends a request that the server does not read, has the server send an answer and close, which resets the connection, and waits until the reset has arrived. The client must read the answer whole, then ECONNRESET, then 0.",
	Why:    "A server that turns a request down answers before it has read all of it (413 of HTTP, a greeting of SMTP that refuses) and closes. Where the reset throws the answer away, the client reports a lost connection and not the reason.",
	Causes: []string{
		"a firewall drops RST segments or data on loopback",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
		"have the server read what is left of a request before it closes (lingering_close of nginx)",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	const request, answer = "nobody reads this", "no, and this is why"
	sendWhole(deadline, client, request, 0)
	arrive(deadline, server, len(request))
	sendWhole(deadline, server, answer, 0)
	arrive(deadline, client, len(answer))
	Expect(server.Close()).To(Succeed())
	clsAwaitReset(deadline, client, "the reset after an answer")

	Expect(readText(deadline, client, 2*len(answer), 0, "the first read after a reset, of what came before")).To(Equal(answer), "what was read that came before a reset")
	_, second := client.TryRecv(make([]byte, 1), 0)
	Expect(second).To(MatchError(syscall.ECONNRESET), "the read after that of what came before a reset")
	clsReadsEnd(client, "the read after ECONNRESET")
	spec.Evidence("reads after a reset", "%d bytes, %s, 0", len(answer), reason(second))
})

// clsAwaitReset waits until a connection has been reset.
func clsAwaitReset(ctx context.Context, s *sock.Socket, what string) {
	GinkgoHelper()
	_, err := s.Poll(ctx, 0)
	Expect(err).NotTo(HaveOccurred(), "%s", what)
}

var _ = suite.It("takes one write to a peer that has closed, then refuses with EPIPE and reads 0", check.Check{
	ID: "TCP-058", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.6, 3.10.7.1 (a segment to a closed connection is answered with RST); send(2), EPIPE; gVisor, TCPResetAfterClose",
	Asks:   "Has the server close with nothing unread, and the client write: the first write must succeed, as a FIN says only that the server sends no more. The RST that answers it must end the connection: the next write gives EPIPE, and a read 0.",
	Why:    "It is what a client with an idle connection in its pool meets when the server has closed: one request is lost before an error tells. HTTP clients and database pools repeat a request on EPIPE or the end of the stream; with another error, or none, they do not.",
	Causes: []string{
		"a firewall drops RST segments, so that writes seem to succeed until the connection times out",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
		"have pools drop idle connections sooner than the server does",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	Expect(server.Close()).To(Succeed())
	_, err := client.Poll(deadline, sock.PeerClosed)
	Expect(err).NotTo(HaveOccurred(), "the FIN of a server that closed")
	const text = "is anybody there"
	sendWhole(deadline, client, text, 0)
	clsAwaitReset(deadline, client, "the reset that answers what was sent to a closed connection")
	_, again := client.TrySend([]byte(text), 0)
	Expect(again).To(MatchError(syscall.EPIPE), "the second write after the server closed")
	clsReadsEnd(client, "a read after the server closed and reset")
	spec.Evidence("after the close", "first write: %d bytes; second: %s; read: 0", len(text), reason(again))
})

var _ = suite.It("tells by poll a fresh socket, one whose peer has sent a FIN and one that was reset", check.Check{
	ID: "TCP-069", Grade: check.GradeFail, OS: "linux",
	Source: "poll(2), POLLHUP, POLLRDHUP, POLLERR; linux, net/ipv4/tcp.c, tcp_poll",
	Asks:   "Polls for reading, writing and POLLRDHUP. A fresh socket must be writable and hung up (OUT, HUP); one whose peer has closed readable, writable and closed by its peer (IN, OUT, RDHUP); one whose peer has reset the connection all of these and ERR and HUP.",
	Why:    "Event loops decide by these bits alone whether to read, write or give a connection up. One that lacks HUP or ERR after a reset is kept and leaks a descriptor; one that has HUP after a FIN is closed with the answer unsent.",
	Causes: []string{
		"a firewall drops FIN or RST segments, or makes one of the other",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	const all = sock.Readable | sock.Writable | sock.PeerClosed
	Expect(open().Ready(all)).To(Equal(sock.Writable|sock.HungUp), "what poll says of a fresh socket")

	client, server := joined(deadline)
	Expect(server.Close()).To(Succeed())
	_, err := client.Poll(deadline, sock.PeerClosed)
	Expect(err).NotTo(HaveOccurred(), "the FIN of a peer that closed")
	Expect(client.Ready(all)).To(Equal(all), "what poll says of a socket whose peer has closed")

	client = open()
	server = join(deadline, client)
	Expect(abort(server)).To(Succeed())
	clsAwaitReset(deadline, client, "the RST of a peer that aborted")
	Expect(client.Ready(all)).To(Equal(all|sock.Failed|sock.HungUp), "what poll says of a socket that was reset")
	spec.Evidence("poll", "fresh: %v; after a FIN: %v; after a RST: %v", sock.Writable|sock.HungUp, all, all|sock.Failed|sock.HungUp)
})
