package tcp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("accepts connections in the order in which they came", check.Check{
	ID: "TCP-010", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, include/net/request_sock.h, reqsk_queue_remove",
	Asks:   "Connects eight clients to a listener on 127.0.0.1, or as many as net.core.somaxconn lets wait, each once the one before stands in the queue, and then accepts all. They must come out in that order.",
	Why:    "A busy server takes from this queue one after the other. Where it does not take the eldest first, some clients wait until they give up while later ones are served, and latency has a long tail that nothing explains.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops or delays segments of a handshake on loopback",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	const backlog = 7
	listener, addr := listening(backlog)
	clients, err := crowd(deadline, listener, addr)
	for _, c := range clients {
		DeferCleanup(c.Close)
	}
	Expect(err).NotTo(HaveOccurred())
	var came []netip.AddrPort
	for _, c := range clients {
		from, err := c.LocalAddr()
		Expect(err).NotTo(HaveOccurred())
		came = append(came, from)
	}
	var taken []netip.AddrPort
	for len(taken) < len(came) {
		server, err := listener.Accept(deadline)
		Expect(err).NotTo(HaveOccurred(), "connection %d of %d that wait at %v", len(taken)+1, len(came), addr)
		DeferCleanup(server.Close)
		peer, err := server.PeerAddr()
		Expect(err).NotTo(HaveOccurred())
		taken = append(taken, peer)
	}
	order := accOrder(came, taken)
	spec.Evidence("accepted", "the connections in this order: %v", order)
	Expect(slices.IsSorted(order)).To(BeTrueBecause("connections 1 to %d were accepted in the order %v", len(came), order))
})

// accOrder says which of the connections each accepted one is, counted from 1,
// and 0 for one that is none of them.
func accOrder(came, taken []netip.AddrPort) []int {
	var order []int
	for _, peer := range taken {
		order = append(order, slices.Index(came, peer)+1)
	}
	return order
}

// accQueue connects one more client to a listener, waits until that many stand
// in its queue, and returns the client's address.
func accQueue(ctx context.Context, listener *sock.Socket, addr netip.AddrPort, count uint32) netip.AddrPort {
	GinkgoHelper()
	_, client := accQueued(ctx, listener, addr, count)
	return client
}

// accQueued is accQueue that returns the client as well.
func accQueued(ctx context.Context, listener *sock.Socket, addr netip.AddrPort, count uint32) (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	client := open()
	Expect(client.Connect(ctx, addr)).To(Succeed(), "connection %d to %v", count, addr)
	Expect(queued(ctx, listener, count)).To(Succeed(), "connections that wait to be accepted at %v", addr)
	from, err := client.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return client, from
}

var _ = suite.It("answers a nonblocking accept with EAGAIN where nobody waits", check.Check{
	ID: "TCP-011", Grade: check.GradeFail, OS: "linux",
	Source: "accept(2), EAGAIN",
	Asks:   "Accepts on a nonblocking listener of 127.0.0.1 that nobody has connected to: EAGAIN. Connects a client, accepts it, and accepts once more: EAGAIN again.",
	Why:    "Event loops (nginx, Node.js, Envoy, Go) accept until they hear EAGAIN. At any other error they log a failure, pause accepting or end; without it they hang in the call and serve nobody.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter answers accept4 in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see whether a filter is in force: `grep Seccomp /proc/self/status`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	listener, addr := listening(8)
	before := accNone(listener)
	Expect(before).To(MatchError(syscall.EAGAIN), "a nonblocking accept at %v, where nobody waits", addr)
	from := accQueue(deadline, listener, addr, 1)
	server, err := acceptFrom(deadline, listener, from)
	Expect(err).NotTo(HaveOccurred(), "accept of the one connection that waits at %v", addr)
	DeferCleanup(server.Close)
	after := accNone(listener)
	Expect(after).To(MatchError(syscall.EAGAIN), "a nonblocking accept at %v, after all were accepted", addr)
	spec.Evidence("accept", "nobody waits: %s; all accepted: %s", reason(before), reason(after))
})

// accNone accepts where nobody ought to wait and returns what the kernel says.
// Of those who scan the machine's ports it lets a few by.
func accNone(listener *sock.Socket) error {
	const strangers = 4
	for range strangers {
		stranger, err := listener.TryAccept()
		if err != nil {
			return err
		}
		if err := stranger.Close(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d were accepted that nobody had connected", strangers)
}

var _ = suite.It("hands over a connection that was reset while it waited, and then tells of the reset", check.Check{
	ID: "TCP-012", Grade: check.GradeFail, OS: "linux",
	Source: "accept(2), error handling on Linux; recv(2), ECONNRESET",
	Asks:   "Connects a client to a listener on 127.0.0.1 and resets the connection (SO_LINGER {1,0}) before it is accepted. Accept must succeed all the same, and the first read of what it returned give ECONNRESET.",
	Why:    "Clients that give up while a server is busy leave such connections behind. Servers written for Linux expect that accept does not fail for them; some take ECONNABORTED for the end of their listener, and with nothing at all they keep a dead client for ever.",
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
	listener, addr := listening(8)
	client, from := accQueued(deadline, listener, addr, 1)
	Expect(abort(client)).To(Succeed())
	// A connection that was reset has no peer to be known by (getpeername(2)).
	server, err := listener.Accept(deadline)
	Expect(err).NotTo(HaveOccurred(), "accept after %v was reset", from)
	DeferCleanup(server.Close)
	_, read := server.Recv(deadline, make([]byte, 1), 0)
	Expect(read).To(MatchError(syscall.ECONNRESET), "the first read of a connection that was reset before it was accepted")
	spec.Evidence("reset connection", "accepted; the first read: %s", reason(read))
})
