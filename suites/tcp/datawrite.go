package tcp

import (
	"fmt"
	"io"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("delivers nothing for a write of no bytes", check.Check{
	ID: "TCP-037", Grade: check.GradeFail, OS: "linux",
	Source: "send(2); write(2); RFC 9293 3.1",
	Asks:   "Writes no bytes, which must succeed with 0, and then some. The peer's first read must return those; it must not see an end of the stream before.",
	Why:    "Programs flush empty buffers without looking. A peer that reads 0 for one takes it for the end of the stream and closes in the middle of the answer.",
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
	n, err := client.TrySend(nil, 0)
	Expect(err).NotTo(HaveOccurred(), "a write of no bytes")
	Expect(n).To(BeZero(), "bytes that a write of none counts")
	const text = "something at last"
	sendWhole(deadline, client, text, 0)
	got := readText(deadline, server, 2*len(text), 0, "the read after a write of no bytes")
	Expect(got).To(Equal(text), "the first that the peer reads after a write of no bytes")
	_, err = server.TryRecv(make([]byte, 1), 0)
	Expect(err).To(MatchError(syscall.EAGAIN), "a read after all was read")
	spec.Evidence("empty write", "taken; the peer's first read returned the %d bytes after it", len(got))
})

var _ = suite.It("refuses to send with EPIPE and to receive with ENOTCONN on a fresh socket", check.Check{
	ID: "TCP-039", Grade: check.GradeFail, OS: "linux",
	Source: "send(2), EPIPE; recv(2), ENOTCONN",
	Asks:   "Sends and receives on a socket that was never connected.",
	Why:    "A program that reconnects tells by these errors that its socket is not connected. Where the send seems to succeed, or the receive to return the end of the stream, it goes on as if the message were delivered.",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		spec.OwnStack,
	},
}, func(SpecContext) {
	s := open()
	_, send := s.TrySend([]byte("x"), 0)
	Expect(send).To(MatchError(syscall.EPIPE), "a send on a fresh socket")
	_, receive := s.TryRecv(make([]byte, 1), 0)
	Expect(receive).To(MatchError(syscall.ENOTCONN), "a receive on a fresh socket")
	spec.Evidence("fresh socket", "send: %s; receive: %s", reason(send), reason(receive))
})

var _ = suite.It("raises SIGPIPE for a write to a closed stream, but not with MSG_NOSIGNAL", check.Check{
	ID: "TCP-040", Grade: check.GradeFail, OS: "linux",
	Source: "send(2), EPIPE, MSG_NOSIGNAL; signal(7), SIGPIPE",
	Asks:   "Ends the sending side of a connection and writes to it twice, with SIGPIPE blocked and looked for. Both writes must fail with EPIPE; the plain one must raise SIGPIPE in the thread that wrote, the one with MSG_NOSIGNAL must not.",
	Why:    "Pipelines of shell tools end by this signal. Libraries rely on MSG_NOSIGNAL: where it is ignored, a client that hangs up kills the server.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter answers sendmsg in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"until then, have the program ignore SIGPIPE; in a systemd unit it is ignored unless IgnoreSIGPIPE=no",
	},
}, func(ctx SpecContext) {
	client, _ := joined(spec.Within(ctx, patience))
	Expect(client.Shutdown(sock.Write)).To(Succeed())
	for _, c := range []struct {
		what  string
		flags sock.Flag
		want  bool
	}{{"a plain write", sock.WithSignal, true}, {"a write with MSG_NOSIGNAL", 0, false}} {
		raised, sendErr, err := client.SendSeeingSignal([]byte("x"), c.flags)
		Expect(err).NotTo(HaveOccurred())
		Expect(sendErr).To(MatchError(syscall.EPIPE), "%s to a stream whose sending side is closed", c.what)
		Expect(raised).To(Equal(c.want), "whether %s to a stream whose sending side is closed raised SIGPIPE", c.what)
		spec.Evidence(c.what, "%s, SIGPIPE raised: %t", reason(sendErr), raised)
	}
})

var _ = suite.It("skips buffers of no length in scattered reads and writes", check.Check{
	ID: "TCP-047", Grade: check.GradeFail, OS: "linux",
	Source: "sendmsg(2), recvmsg(2), readv(2): an iovec may be of no length; packetdrill sendmsg-empty-iov",
	Asks:   "Sends with one sendmsg(2) four buffers of which every other is empty, and receives them with one recvmsg(2) into four likewise. The bytes of all must arrive, in order, and fill the buffers that have room.",
	Why:    "Writers of HTTP and RPC hand over header, body and trailer as they are, empty or not. Where an empty buffer ends the write, the rest of the message is missing.",
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
	const first, second = "header", "body"
	n, err := client.SendParts(deadline, [][]byte{{}, []byte(first), {}, []byte(second)}, 0)
	Expect(err).NotTo(HaveOccurred(), "sending four buffers of which two are empty")
	Expect(n).To(Equal(len(first+second)), "bytes sent of four buffers of which two are empty")
	arrive(deadline, server, n)
	head, body := make([]byte, len(first)), make([]byte, len(second))
	n, err = server.RecvParts(deadline, [][]byte{{}, head, {}, body}, 0)
	Expect(err).NotTo(HaveOccurred(), "receiving into four buffers of which two are empty")
	Expect(n).To(Equal(len(first+second)), "bytes received into four buffers of which two are empty")
	Expect([]string{string(head), string(body)}).To(Equal([]string{first, second}), "what the two buffers hold that are not empty")
	spec.Evidence("iovecs", "%d bytes through two of four buffers, at both ends", n)
})

// sentFileSize is no multiple of a page.
const sentFileSize = 1<<20 + 4321

var _ = suite.It("sends a file with sendfile unchanged", check.Check{
	ID: "TCP-049", Grade: check.GradeFail, OS: "linux",
	Source: "sendfile(2); packetdrill sendfile-simple",
	Asks:   "Has the kernel send a file of about 1 MiB that lies in memory, from byte 1,000 on, with sendfile(2). Every byte that arrives is compared with the file.",
	Why:    "Web servers, Kafka and file servers send files so. The pages of the file go to the peer without a copy: where something rewrites them on the way, the file on the disk can change as well.",
	Causes: []string{
		"a firewall rule, eBPF program or proxy rewrites or drops segments on loopback",
		spec.OtherStack,
	},
	Remedies: []string{
		"look for who touches the packets: `nft list ruleset`, `bpftool net`, `tc -s qdisc show dev lo`",
		"turn it off in the server until that is found: `sendfile off;` in nginx, `EnableSendfile Off` in Apache",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	client, server := joined(deadline)
	seed := uint64(GinkgoRandomSeed())
	contents := make([]byte, sentFileSize)
	_, err := io.ReadFull(pattern(seed, 0), contents)
	Expect(err).NotTo(HaveOccurred())
	file, err := sock.MemoryFile(contents)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(file.Close)

	const offset = 1000
	want := newVerifier(pattern(seed, 0))
	_, err = want.Write(contents[:offset])
	Expect(err).NotTo(HaveOccurred())
	var arrived int
	ends, running := errgroup.WithContext(deadline)
	ends.Go(func() error {
		_, err := client.SendFile(running, file, offset, sentFileSize-offset)
		if err != nil {
			return err
		}
		return client.Shutdown(sock.Write)
	})
	ends.Go(func() error {
		buf := make([]byte, transferBuffer)
		for {
			n, err := server.Recv(running, buf, 0)
			if err != nil {
				return fmt.Errorf("after %d bytes: %w", arrived, err)
			}
			if n == 0 {
				return nil
			}
			if _, err := want.Write(buf[:n]); err != nil {
				return err
			}
			arrived += n
		}
	})
	err = ends.Wait()
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "a file of %d bytes sent from byte %d on", sentFileSize, offset)
	Expect(arrived).To(Equal(sentFileSize-offset), "bytes of the file that arrived")
	spec.Evidence("sendfile", "%d bytes from byte %d on, unchanged", arrived, offset)
})
