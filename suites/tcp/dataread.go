package tcp

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("hands out in one read what was sent in two writes", check.Check{
	ID: "TCP-032", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.1 (a stream of bytes, without records); tcp(7)",
	Asks:   "Sends two texts in two writes with TCP_NODELAY, waits until both stand in the receive queue, and reads once with room for more. The read must return both, joined.",
	Why:    "TCP keeps no message boundaries, and a program that counts on them works by luck. A stack that hands out one segment a read costs every server a system call a segment, and hides that mistake until the program runs somewhere else.",
	Causes: []string{
		"a firewall rule or eBPF program alters or drops segments on loopback",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	Expect(client.Set(sock.NoDelay, 1)).To(Succeed())
	const first, second = "the first write, ", "and the second"
	sendWhole(deadline, client, first, 0)
	sendWhole(deadline, client, second, 0)
	arrive(deadline, server, len(first+second))
	got := readText(deadline, server, 2*len(first+second), 0, "a read of two writes")
	Expect(got).To(Equal(first+second), "what one read returned of two writes")
	spec.Evidence("read", "%d bytes at once, of writes of %d and %d", len(got), len(first), len(second))
})

// peekOffset is not in socket(7) yet, which says that only unix(7) has it.
var peekOffset = check.Need{
	Name: "SO_PEEK_OFF of TCP",
	How:  "run it on Linux 6.9 or later, which offers SO_PEEK_OFF on TCP sockets",
}

var _ = suite.It("leaves in the queue what is read with MSG_PEEK, and moves on by SO_PEEK_OFF", check.Check{
	ID: "TCP-033", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{peekOffset},
	Source: "recv(2), MSG_PEEK; socket(7), SO_PEEK_OFF; tools/testing/selftests/net/sk_so_peek_off.c",
	Asks:   "Sends ten bytes and reads them twice with MSG_PEEK: both reads must return them, and all must still wait. With SO_PEEK_OFF at 0, two peeks of four bytes must return the first four and the next, with the offset at 8; a read of four then takes the first four and moves the offset back to 4.",
	Why:    "Proxies and servers that take several protocols on one port (TLS or not, the PROXY header, SSH or HTTP) peek at the first bytes and leave them to whoever serves the connection. Bytes that a peek takes are missing from the request.",
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
	const text, part = "0123456789", 4
	sendWhole(deadline, client, text, 0)
	arrive(deadline, server, len(text))
	for _, what := range []string{"the first peek", "the second peek"} {
		Expect(readText(deadline, server, 2*len(text), sock.Peek, what)).To(Equal(text), "what %s returned", what)
	}
	Expect(server.Unread()).To(Equal(len(text)), "bytes that wait to be read after two peeks")
	spec.Evidence("MSG_PEEK", "%d bytes twice, and all of them still there", len(text))

	err := server.Set(sock.PeekOffset, 0)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOPROTOOPT) {
		spec.Skip(peekOffset, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	for _, want := range []string{text[:part], text[part : 2*part]} {
		Expect(readText(deadline, server, part, sock.Peek, "a peek with SO_PEEK_OFF")).To(Equal(want), "what a peek of %d bytes returned with SO_PEEK_OFF set to 0 before the first", part)
	}
	Expect(server.Get(sock.PeekOffset)).To(Equal(2*part), "SO_PEEK_OFF after two peeks of %d bytes from 0 on", part)
	Expect(readText(deadline, server, part, 0, "a read after the peeks")).To(Equal(text[:part]), "what a read of %d bytes returned after the peeks", part)
	Expect(server.Get(sock.PeekOffset)).To(Equal(part), "SO_PEEK_OFF of %d after %d bytes were read", 2*part, part)
	spec.Evidence("SO_PEEK_OFF", "at %d after two peeks of %d bytes, at %d after %d bytes were read", 2*part, part, part, part)
})

var _ = suite.It("throws away what is read with MSG_TRUNC", check.Check{
	ID: "TCP-034", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), MSG_TRUNC; recv(2), MSG_TRUNC",
	Asks:   "Sends ten bytes and reads four with MSG_TRUNC, into a buffer that holds something else. The read must count four, write nothing into the buffer, and leave the other six to the next read.",
	Why:    "Load generators and downloaders skip bodies that way without copying them (iperf3 --skip-rx-copy, netperf, benchmarks of NICs). Where the flag is ignored, the buffer is overwritten; where nothing is thrown away, the same bytes come for ever.",
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
	const text, part = "0123456789", 4
	sendWhole(deadline, client, text, 0)
	arrive(deadline, server, len(text))
	untouched := strings.Repeat("#", part)
	buf := []byte(untouched)
	n, err := server.Recv(deadline, buf, sock.Truncate)
	Expect(err).NotTo(HaveOccurred(), "a read of %d bytes with MSG_TRUNC", part)
	Expect(n).To(Equal(part), "bytes that a read of %d with MSG_TRUNC counts", part)
	Expect(string(buf)).To(Equal(untouched), "the buffer of a read with MSG_TRUNC")
	rest := readText(deadline, server, len(text), 0, "the read after MSG_TRUNC")
	Expect(rest).To(Equal(text[part:]), "what is left after %d bytes were thrown away", part)
	spec.Evidence("MSG_TRUNC", "%d bytes thrown away, the next read began with %q", n, rest[:1])
})

var _ = suite.It("ends a read at MSG_DONTWAIT and SO_RCVTIMEO, and fills the buffer at MSG_WAITALL", check.Check{
	ID: "TCP-035", Grade: check.GradeFail, OS: "linux",
	Source: "recv(2), MSG_DONTWAIT, MSG_WAITALL, EAGAIN; socket(7), SO_RCVTIMEO",
	Asks:   "On a socket that blocks and has nothing to read: MSG_DONTWAIT must give EAGAIN at once, and SO_RCVTIMEO of 100 ms EAGAIN when they are over, not before half of them. A read of eight bytes with MSG_WAITALL must take the four that are there, go on waiting, and return when the other four have come.",
	Why:    "Database drivers, SMTP and LDAP clients bound their reads by SO_RCVTIMEO and hang for ever where it does nothing. Protocols with fixed headers read them with MSG_WAITALL and lose their place in the stream where it returns a part.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter or security module answers setsockopt or recvfrom in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see whether a filter is in force: `grep Seccomp /proc/self/status`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	letBlock(deadline, server)
	_, err := server.TryRecv(make([]byte, 1), sock.DontWait)
	Expect(err).To(MatchError(syscall.EAGAIN), "a read with MSG_DONTWAIT of nothing")

	const limit = 100 * time.Millisecond
	Expect(server.SetWaits(limit, 0)).To(Succeed())
	start := time.Now()
	_, err = server.TryRecv(make([]byte, 1), 0)
	waited := time.Since(start)
	Expect(err).To(MatchError(syscall.EAGAIN), "a read of nothing with SO_RCVTIMEO of %v", limit)
	// The kernel's clock ticks every 10 ms at the slowest.
	Expect(waited).To(BeNumerically(">=", limit/2), "how long SO_RCVTIMEO of %v let a read wait", limit)
	spec.Evidence("SO_RCVTIMEO", "EAGAIN after %v of %v", waited.Round(time.Millisecond), limit)

	Expect(server.SetWaits(0, 0)).To(Succeed())
	const first, second = "half", "full"
	type result struct {
		text string
		err  error
	}
	filled := make(chan result, 1)
	sendWhole(deadline, client, first, 0)
	arrive(deadline, server, len(first))
	go func() {
		buf := make([]byte, len(first+second))
		n := 0
		err := sock.Undisturbed(func() (err error) {
			n, err = server.TryRecv(buf, sock.WaitAll)
			return err
		})
		filled <- result{string(buf[:n]), err}
	}()
	// It has taken the first half and either waits or has returned with it.
	Eventually(server.Unread).WithContext(deadline).Should(BeZero(), "bytes that MSG_WAITALL leaves in the queue")
	sendWhole(deadline, client, second, 0)
	var got result
	Eventually(filled).WithContext(deadline).Should(Receive(&got), "the read with MSG_WAITALL")
	Expect(got.err).NotTo(HaveOccurred(), "the read with MSG_WAITALL")
	Expect(got.text).To(Equal(first+second), "what the read of %d bytes with MSG_WAITALL returned", len(first+second))
	spec.Evidence("MSG_WAITALL", "returned %d bytes that came in two halves", len(got.text))
})

var _ = suite.It("tells no address with recvfrom", check.Check{
	ID: "TCP-048", Grade: check.GradeFail, OS: "linux",
	Source: "recv(2), recvfrom: src_addr is filled where the protocol gives the source address; POSIX recvfrom",
	Asks:   "Receives some bytes with recvfrom(2) and room for an address. The bytes must come and the address stay empty.",
	Why:    "The peer of a stream is what getpeername(2) says. A library that looks at recvfrom first logs, and lets in, by whatever address it finds there.",
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
	const text = "from whom?"
	sendWhole(deadline, client, text, 0)
	arrive(deadline, server, len(text))
	buf := make([]byte, 2*len(text))
	n, from, err := server.RecvFrom(deadline, buf, 0)
	Expect(err).NotTo(HaveOccurred(), "recvfrom on a connection")
	Expect(string(buf[:n])).To(Equal(text), "what recvfrom returned")
	Expect(from).To(Equal(netip.AddrPort{}), "the address that recvfrom tells of a stream")
	spec.Evidence("recvfrom", "%d bytes, no address", n)
})
