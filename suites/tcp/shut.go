package tcp

import (
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("reads the end after SHUT_RD, and still what the peer sends later", check.Check{
	ID: "TCP-053", Grade: check.GradeFail, OS: "linux",
	Source: "shutdown(2), SHUT_RD; linux, net/ipv4/tcp.c, tcp_recvmsg_locked; packetdrill shutdown-rd-close",
	Asks:   "Shuts down the receiving side of a server. A read must return 0 although the client has sent no FIN. What the client sends after that must arrive and be read, and the read after it return 0 again.",
	Why:    "SHUT_RD tells the peer nothing on Linux: Java's shutdownInput and libraries that close the two directions one after the other rely on it. A stack that answers what comes later with a RST, as Windows does, takes from the client the answer that it has not read yet.",
	Causes: []string{
		spec.OtherStack,
		"a firewall rule or eBPF program alters or drops segments on loopback",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	Expect(server.Shutdown(sock.Read)).To(Succeed())
	clsReadsEnd(server, "a read after SHUT_RD, before the client has sent anything")

	const later = "sent after SHUT_RD"
	sendWhole(deadline, client, later, 0)
	arrive(deadline, server, len(later))
	Expect(readText(deadline, server, 2*len(later), 0, "a read after SHUT_RD")).To(Equal(later), "what a read after SHUT_RD returned of what was sent since")
	clsReadsEnd(server, "a read after SHUT_RD, when all was read")
	spec.Evidence("SHUT_RD", "a read returned 0, then %d bytes that were sent later, then 0", len(later))
})

// clsReadsEnd expects the end of the stream of a read that does not wait.
func clsReadsEnd(s *sock.Socket, what string) {
	GinkgoHelper()
	n, err := s.TryRecv(make([]byte, 1), 0)
	Expect(err).NotTo(HaveOccurred(), "%s", what)
	Expect(n).To(BeZero(), "bytes of %s", what)
}

var _ = suite.It("sends the FIN when the last descriptor of a connection is closed, not before", check.Check{
	ID: "TCP-066", Grade: check.GradeFail, OS: "linux",
	Source: "dup(2); close(2); RFC 9293 3.6",
	Asks:   "Duplicates the descriptor of a client, closes the first and sends a byte by the second. The server must read it and then have nothing more to read. When the second is closed, too, it must read the end of the stream.",
	Why:    "Servers hand connections to processes that they fork (sshd, inetd, PostgreSQL) and close their own descriptor. Where that ends the connection, every client is cut off; where the last close does not, it waits for an end that never comes, as it does for a program that leaks descriptors to its children.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops FIN segments, or alters flags",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
		"see which processes hold a connection: `ss -tanp`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	second, err := client.Dup()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(second.Close)
	Expect(client.Close()).To(Succeed())
	const text = "by the second descriptor"
	sendWhole(deadline, second, text, 0)
	Expect(readText(deadline, server, 2*len(text), 0, "a read while one of two descriptors of the peer is open")).To(Equal(text), "what was sent by the second descriptor after the first was closed")
	n, early := server.TryRecv(make([]byte, 1), 0)
	Expect(early).To(MatchError(syscall.EAGAIN), "a read while one of two descriptors of the peer is open, which returned %d", n)

	Expect(second.Close()).To(Succeed())
	n, err = server.Recv(deadline, make([]byte, 1), 0)
	Expect(err).NotTo(HaveOccurred(), "the end of the stream, when the last of two descriptors of the peer was closed")
	Expect(n).To(BeZero(), "bytes read when the last of two descriptors of the peer was closed")
	spec.Evidence("close", "of the first descriptor: %s; of the second: the end of the stream", reason(early))
})

var _ = suite.It("refuses shutdown of an unconnected socket with ENOTCONN, and of no known direction with EINVAL", check.Check{
	ID: "TCP-068", Grade: check.GradeFail, OS: "linux",
	Source: "shutdown(2), ENOTCONN, EINVAL",
	Asks:   "Calls shutdown(2) on a fresh socket, for each direction and both (ENOTCONN), and with -1 and 3, which are no direction (EINVAL).",
	Why:    "Java, Python and Node.js shut down before they close and take ENOTCONN for a connection that has ended already. With another error they report a failure where none is; with success they believe in a connection that never was.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter answers shutdown in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see whether a filter is in force: `grep Seccomp /proc/self/status`",
	},
}, func(SpecContext) {
	s := open()
	for _, how := range []sock.How{sock.Read, sock.Write, sock.Both} {
		Expect(s.Shutdown(how)).To(MatchError(syscall.ENOTCONN), "%s of a fresh socket", how)
	}
	for _, how := range []int{-1, 3} {
		Expect(s.ShutdownNumbered(how)).To(MatchError(syscall.EINVAL), "shutdown with %d, which is no direction", how)
	}
	spec.Evidence("shutdown", "SHUT_RD, SHUT_WR and SHUT_RDWR: %s; -1 and 3: %s", syscall.ENOTCONN, syscall.EINVAL)
})
