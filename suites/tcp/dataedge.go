package tcp

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("reports an arrival once to an edge-triggered epoll, and each one that follows", check.Check{
	ID: "TCP-050", Grade: check.GradeFail, OS: "linux",
	Source: "epoll(7), edge-triggered (EPOLLET); packetdrill epoll_in_edge",
	Asks:   "Watches a connection with EPOLLET. Bytes that arrive must be reported once, and while they stay unread not again; further bytes must be reported although the first are unread; a read of a part must report nothing; the FIN must be reported with EPOLLRDHUP.",
	Why:    "Go, nginx, HAProxy, Node.js and Tokio wait for the network this way. An arrival that is not reported leaves a connection hanging with its request unread; one that is reported over and over keeps a processor busy for nothing.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops segments on loopback",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	edges, err := server.WatchEdges(sock.Readable | sock.PeerClosed)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(edges.Close)
	Expect(edges.Next()).To(BeZero(), "edges before anything was sent")

	const first, second = "first", "and second"
	sendWhole(deadline, client, first, 0)
	Expect(edges.Wait(deadline)).To(Equal(sock.Readable), "the edge of the first bytes")
	Expect(edges.Next()).To(BeZero(), "edges after the first bytes were reported, which are unread")
	Expect(server.Ready(sock.Readable)).To(Equal(sock.Readable), "poll, which looks at the level, with the first bytes unread")

	sendWhole(deadline, client, second, 0)
	Expect(edges.Wait(deadline)).To(Equal(sock.Readable), "the edge of the second bytes, with the first unread")
	Expect(readText(deadline, server, len(first), 0, "a read of a part")).To(Equal(first), "what a read of a part returned")
	Expect(edges.Next()).To(BeZero(), "edges after a part was read")

	Expect(client.Shutdown(sock.Write)).To(Succeed())
	Expect(edges.Wait(deadline)).To(Equal(sock.Readable|sock.PeerClosed), "the edge of the FIN")
	spec.Evidence("edges", "one for the first bytes, one for the second, one for the FIN, none in between")
})
