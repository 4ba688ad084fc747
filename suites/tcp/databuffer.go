package tcp

import (
	"context"
	"errors"
	"io"
	"strconv"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("keeps a sender waiting whose peer does not read, and loses nothing", check.Check{
	ID: "TCP-038", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.8.6 (managing the window); send(2), EAGAIN; tcp(7), SIOCOUTQ, SIOCINQ",
	Asks:   "Sends without waiting to a peer that reads nothing, until EAGAIN. What waits unacknowledged at the sender and what waits unread at the peer must then be, together, what was sent. The peer reads on, and must find every byte, in order.",
	Why:    "This is how a slow consumer slows its producer instead of losing messages or filling the memory. Where the window is not respected, or does not open again, streams stall for good or have holes.",
	Causes: []string{
		"a firewall drops acknowledgements or window updates, which carry no data",
		"a proxy or user-space stack takes the bytes in the kernel's place and acknowledges what it has not delivered",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see both queues of every connection: `ss -tnm`; and probes of closed windows: `nstat -az TcpExtTCPWantZeroWindowAdv TcpExtTCPToZeroWindowAdv TcpExtTCPWinProbe`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	client, server := joined(deadline)
	seed := uint64(GinkgoRandomSeed())
	sent := fill(deadline, client, server, pattern(seed, 0))
	unsent, err := client.Unsent()
	Expect(err).NotTo(HaveOccurred())
	unread, err := server.Unread()
	Expect(err).NotTo(HaveOccurred())
	spec.Evidence("full", "%d bytes sent before EAGAIN: %d at the sender, %d at its peer", sent, unsent, unread)
	spec.Measure("buffered_bytes", float64(sent))

	want, buf := newVerifier(pattern(seed, 0)), make([]byte, transferBuffer)
	for read := 0; read < sent; {
		n, err := server.Recv(deadline, buf, 0)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "reading %d bytes that had waited, after %d", sent, read)
		Expect(n).NotTo(BeZero(), "bytes of a read, after %d of %d that had waited", read, sent)
		_, err = want.Write(buf[:n])
		Expect(err).NotTo(HaveOccurred(), "what was read of %d bytes that had waited", sent)
		read += n
	}
	Eventually(client.Unsent).WithContext(deadline).Should(BeZero(), "bytes that wait at the sender after all were read")
	Expect(server.Unread()).To(BeZero(), "bytes that wait to be read after all were read")
	Expect(client.Ready(sock.Writable)).To(Equal(sock.Writable), "the sender's poll after all was read")
})

// fill sends until both ends' buffers are full and stay so, and returns how
// many bytes they took.
func fill(ctx context.Context, client, server *sock.Socket, source io.Reader) (sent int) {
	GinkgoHelper()
	var waiting []byte
	for settled := -1; ; {
		if len(waiting) == 0 {
			waiting = make([]byte, flowBuffer)
			_, err := io.ReadFull(source, waiting)
			Expect(err).NotTo(HaveOccurred())
		}
		n, err := client.TrySend(waiting, 0)
		if err == nil {
			sent += n
			waiting = waiting[n:]
			continue
		}
		Expect(err).To(MatchError(syscall.EAGAIN), "a send to a peer that does not read, after %d bytes", sent)
		if settled == sent {
			return sent
		}
		Eventually(func() (int, error) {
			unread, err := server.Unread()
			unsent, err2 := client.Unsent()
			return unsent + unread, errors.Join(err, err2)
		}).WithContext(ctx).Should(Equal(sent), "bytes that wait at the sender (SIOCOUTQ) and at its peer (SIOCINQ), of %d that were sent", sent)
		settled = sent
	}
}

// Bounds of SO_SNDBUF and SO_RCVBUF that depend on how large the kernel's own
// structures are; of the smallest, 4,608 and 2,304 bytes are usual.
const (
	smallestReceive = 2048
	largestSmallest = 2048 + 1024
)

var _ = suite.It("doubles SO_SNDBUF and SO_RCVBUF and keeps them within their bounds", check.Check{
	ID: "TCP-044", Grade: check.GradeWarn, OS: "linux",
	Source: "socket(7), SO_SNDBUF, SO_RCVBUF, which says 2,048 and 256 where the kernel gives 4,608 and 2,304; linux, include/net/sock.h, SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF",
	Asks:   "Sets both options to 20,000 and reads back twice that; to 1 and reads back the least that the kernel gives, about 4,608 and 2,304; to 1 GiB and reads back twice net.core.wmem_max and rmem_max, where this namespace shows them.",
	Why:    "Programs compute from what they read back: a driver that asks for 8 MiB and is given 208 KiB in silence is slow over long distances, and one that sees the figure not doubled sets it again and again.",
	Causes: []string{
		spec.OtherStack,
		"a BPF program for socket options (cgroup/setsockopt) changes what is set",
	},
	Remedies: []string{
		"see who changes options: `bpftool cgroup tree`",
		"raise the limits where buffers come out too small: `sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304`",
	},
}, func(SpecContext) {
	least := map[sock.Option]int{}
	for option, setting := range map[sock.Option]string{sock.SendBuffer: "net.core.wmem_max", sock.ReceiveBuffer: "net.core.rmem_max"} {
		most := bufferLimit(setting)
		usual := 20000
		if most > 0 {
			usual = min(usual, most)
		}
		Expect(setAndRead(option, usual)).To(Equal(2*usual), "%s after it was set to %d", option, usual)
		least[option] = setAndRead(option, 1)
		if most > 0 {
			Expect(setAndRead(option, 1<<30)).To(Equal(max(2*most, least[option])), "%s after it was set to 1 GiB, with %s at %d", option, setting, most)
		}
		spec.Evidence(option.String(), "%d when set to %d, at least %d, %s is %d", 2*usual, usual, least[option], setting, most)
	}
	Expect(least[sock.ReceiveBuffer]).To(And(BeNumerically(">=", smallestReceive), BeNumerically("<=", largestSmallest)), "SO_RCVBUF after it was set to 1")
	Expect(least[sock.SendBuffer]).To(Equal(2*least[sock.ReceiveBuffer]), "SO_SNDBUF after it was set to 1, twice the least of SO_RCVBUF")
})

// setAndRead is what a fresh socket's option reads after it was set.
func setAndRead(option sock.Option, value int) int {
	GinkgoHelper()
	s := open()
	Expect(s.Set(option, value)).To(Succeed())
	got, err := s.Get(option)
	Expect(err).NotTo(HaveOccurred())
	return got
}

// bufferLimit is the most that may be asked of a buffer, 0 where it cannot be
// read, as in network namespaces of older kernels.
func bufferLimit(setting string) int {
	text, err := sysctl.Read(setting)
	if err != nil {
		return 0
	}
	limit, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return limit
}

var _ = suite.It("reports a socket readable from SO_RCVLOWAT bytes on, and refuses SO_SNDLOWAT", check.Check{
	ID: "TCP-045", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_RCVLOWAT, SO_SNDLOWAT",
	Asks:   "Sets SO_RCVLOWAT to 10 and sends four bytes: once they have arrived, poll must not report the socket readable. Six more make it readable. Setting SO_SNDLOWAT must give ENOPROTOOPT, and reading it 1.",
	Why:    "Servers with large messages (storage, RPC, receive zero-copy) wake up once a message by SO_RCVLOWAT; ignored, they wake for every segment. Portable programs take ENOPROTOOPT for the sign that they have to do without SO_SNDLOWAT.",
	Causes: []string{
		spec.OtherStack,
		"a BPF program for socket options (cgroup/setsockopt) answers in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see who changes options: `bpftool cgroup tree`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	const mark, few = "0123456789", 4
	Expect(server.Set(sock.ReceiveLowAt, len(mark))).To(Succeed())
	sendWhole(deadline, client, mark[:few], 0)
	arrive(deadline, server, few)
	Expect(server.Ready(sock.Readable)).To(BeZero(), "poll with %d bytes to read and SO_RCVLOWAT at %d", few, len(mark))
	sendWhole(deadline, client, mark[few:], 0)
	arrive(deadline, server, len(mark))
	Expect(server.Ready(sock.Readable)).To(Equal(sock.Readable), "poll with %d bytes to read and SO_RCVLOWAT at %d", len(mark), len(mark))

	err := server.Set(sock.SendLowAt, len(mark))
	Expect(err).To(MatchError(syscall.ENOPROTOOPT), "setting SO_SNDLOWAT")
	Expect(server.Get(sock.SendLowAt)).To(Equal(1), "SO_SNDLOWAT")
	spec.Evidence("low-water marks", "SO_RCVLOWAT %d: not readable with %d bytes, readable with %d; SO_SNDLOWAT: %s", len(mark), few, len(mark), reason(err))
})

var _ = suite.It("does not count the FIN among the bytes to read", check.Check{
	ID: "TCP-046", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), SIOCINQ; packetdrill ioctl-siocinq-fin",
	Asks:   "Sends five bytes and a FIN, waits until both have arrived, and asks SIOCINQ: it must say 5, and 0 after they were read.",
	Why:    "Programs allocate by this figure and read exactly that much. One too many, and they wait for a byte that never comes.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops FIN segments on loopback",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	const text = "12345"
	sendWhole(deadline, client, text, 0)
	Expect(client.Shutdown(sock.Write)).To(Succeed())
	_, err := server.Poll(deadline, sock.PeerClosed)
	Expect(err).NotTo(HaveOccurred(), "the FIN after %d bytes", len(text))
	Expect(server.Unread()).To(Equal(len(text)), "what SIOCINQ says of %d bytes and a FIN", len(text))
	Expect(readText(deadline, server, 2*len(text), 0, "a read before the FIN")).To(Equal(text), "what was read before the FIN")
	Expect(server.Unread()).To(BeZero(), "what SIOCINQ says of a FIN alone")
	spec.Evidence("SIOCINQ", "%d with a FIN behind %d bytes, 0 with the FIN alone", len(text), len(text))
})
