package udp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/echo"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("keeps the boundaries of datagrams, empty ones too", check.Check{
	ID: "UDP-001", Grade: check.GradeFail,
	Source: "RFC 768; recv(2), zero-length datagrams",
	Asks:   "Sends datagrams of 512, 0, 1, 1400, 0 and 33 bytes to an echo server on 127.0.0.1, all before the first is read. Each must come back as one read of its own length and contents, the empty ones as reads of 0 bytes.",
	Why:    "DNS, QUIC, syslog and statsd take one datagram for one message. Merged, split or dropped ones break them, and some protocols use the empty datagram as a sign of life.",
	Causes: []string{
		"a firewall drops short packets or empty datagrams (`meta length`, `udp length`)",
		"a proxy or user-space stack forwards datagrams as a stream",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see which rule counts the packets: `nft list ruleset` or `iptables -vnL`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	server, err := echo.UDP(deadline, sock.IPv4.Loopback(0).Addr())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Close)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server.Addr()))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	stop := context.AfterFunc(deadline, func() { _ = client.SetDeadline(time.Now()) })
	DeferCleanup(stop)

	lengths := []int{512, 0, 1, 1400, 0, 33}
	for i, length := range lengths {
		Expect(client.Write(bytes.Repeat([]byte{byte(i)}, length))).To(Equal(length),
			"bytes sent to %v as datagram %d of %d", server.Addr(), i+1, len(lengths))
	}
	buf := make([]byte, 4096)
	for i, length := range lengths {
		n, err := client.Read(buf)
		Expect(err).NotTo(HaveOccurred(), "echo from %v of datagram %d of %d, %d bytes", server.Addr(), i+1, len(lengths), length)
		Expect(n).To(Equal(length), "length of the echo from %v of datagram %d of %d", server.Addr(), i+1, len(lengths))
		Expect(buf[:n]).To(Equal(bytes.Repeat([]byte{byte(i)}, length)), "contents of the echo from %v of datagram %d of %d", server.Addr(), i+1, len(lengths))
	}
	spec.Evidence("datagrams", "lengths sent and echoed: %v", lengths)
})

var _ = suite.It("carries the largest datagram and refuses a larger one", check.Check{
	ID: "UDP-002", Grade: check.GradeFail, OS: "linux",
	Source: "udp(7), EMSGSIZE; RFC 768 and RFC 791 3.1 (65,535 bytes with both headers); RFC 8200 3 (payload length)",
	Asks:   "Sends 65,507 bytes to 127.0.0.1 and, where there is IPv6, 65,527 to ::1: they must arrive whole. One byte more must be refused with EMSGSIZE.",
	Why:    "NFS, syslog, tracing agents and multicast libraries send datagrams near the limit. Where they vanish, the sender sees nothing; only large messages are lost, which is hard to find.",
	Causes: []string{
		"lo has a smaller MTU, so that the datagram is fragmented, and fragments are dropped",
		"a firewall drops fragments or long packets",
	},
	Remedies: []string{
		"`ip link set lo mtu 65536`",
		"look for fragments that are not put together: `nstat -az IpReasmFails Ip6ReasmFails UdpRcvbufErrors`",
	},
}, func(ctx SpecContext) {
	for _, c := range []struct {
		family  sock.Family
		largest int
	}{{sock.IPv4, 65507}, {sock.IPv6, 65527}} {
		if c.family == sock.IPv6 {
			if why := spec.LacksIPv6(); why != "" {
				spec.Evidence("IPv6", "not asked: %s", why)
				continue
			}
		}
		By(c.family.String())
		deadline := spec.Within(ctx, patience)
		sender, receiver := pair(c.family)
		sent := contents(uint64(GinkgoRandomSeed()), 0, c.largest)
		Expect(sender.Send(deadline, sent, 0)).To(Equal(c.largest), "bytes sent as the largest datagram over %s", c.family)
		received := make([]byte, c.largest+1)
		n, err := receiver.Recv(deadline, received, 0)
		Expect(err).NotTo(HaveOccurred(), "the datagram of %d bytes over %s", c.largest, c.family)
		Expect(n).To(Equal(c.largest), "length of the datagram over %s", c.family)
		Expect(bytes.Equal(received[:n], sent)).To(BeTrueBecause("the datagram of %d bytes over %s did not arrive as it was sent", c.largest, c.family))

		_, err = sender.Send(deadline, make([]byte, c.largest+1), 0)
		Expect(err).To(MatchError(syscall.EMSGSIZE), "sending a datagram of %d bytes over %s", c.largest+1, c.family)
		spec.Evidence(c.family.String(), "%d bytes arrived whole, %d were refused: %s", c.largest, c.largest+1, syscall.EMSGSIZE)
	}
})

var _ = suite.It("discards what does not fit the buffer and tells the real length", check.Check{
	ID: "UDP-003", Grade: check.GradeFail, OS: "linux",
	Source: "recv(2), MSG_TRUNC; udp(7)",
	Asks:   "Receives datagrams of 10 bytes with a buffer of 4: a plain receive must return 4 bytes and lose the other 6, one with MSG_TRUNC must return 10. The next receive must begin with the next datagram.",
	Why:    "A receiver learns only by this that its buffer is too short. Without it DNS and telemetry servers process the stump of a message as if it were whole; and were the rest kept, every message after it would be read from the middle.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) that implements the flag in another way",
		"a firewall drops the datagrams",
	},
	Remedies: []string{
		"run the program on the kernel's own stack, or give it a buffer of 65,535 bytes",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	sender, receiver := pair(sock.IPv4)
	for _, sent := range []string{"0123456789", "abcdefghij", "end"} {
		Expect(sender.Send(deadline, []byte(sent), 0)).To(Equal(len(sent)), "bytes sent as the datagram %q", sent)
	}
	buf := make([]byte, 4)
	for _, c := range []struct {
		flags  sock.Flag
		length int
		begin  string
	}{{0, 4, "0123"}, {sock.Truncate, 10, "abcd"}, {0, 3, "end"}} {
		n, err := receiver.Recv(deadline, buf, c.flags)
		Expect(err).NotTo(HaveOccurred(), "the datagram that begins with %q", c.begin)
		Expect(n).To(Equal(c.length), "returned length of the datagram that begins with %q", c.begin)
		Expect(string(buf[:min(n, len(buf))])).To(Equal(c.begin), "beginning of the datagram that was received")
	}
	spec.Evidence("lengths", "10 bytes into a buffer of 4: 4 returned, 10 with MSG_TRUNC; the next datagram was whole")
})

var _ = suite.It("tells a connected socket once that its peer's port is closed", check.Check{
	ID: "UDP-004", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 1122 4.1.3.3; udp(7), ECONNREFUSED",
	Asks:   "Connects a UDP socket to a port of 127.0.0.1 that is held closed and sends. The send succeeds; the ICMP port unreachable that answers it must make the next operation fail with ECONNREFUSED, and be forgotten then.",
	Why:    "Resolvers, tracing agents and QUIC clients learn by it at once that a server is gone and try the next. Without it each waits for a timeout of seconds; were it told again and again, a server that is back would look dead.",
	Causes: []string{
		"a firewall drops ICMP, or drops datagrams to closed ports in silence",
		"net.ipv4.icmp_msgs_per_sec is used up by other errors on kernels that limit loopback too",
	},
	Remedies: []string{
		"let ICMP errors pass: for each base chain of the input and output hooks that `nft list ruleset` shows, `nft insert rule FAMILY TABLE CHAIN icmp type destination-unreachable accept`",
		spec.LetLoopbackPass,
		"see whether errors are sent and received: `nstat -az IcmpOutDestUnreachs IcmpInDestUnreachs UdpNoPorts IcmpOutRateLimitGlobal`",
	},
}, func(ctx SpecContext) {
	held, closed, err := sock.ClosedUDP(sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(held.Close)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	told, err := refusal(spec.Within(ctx, patience), closed)
	Expect(err).NotTo(HaveOccurred(), "sending to closed port %v", closed)
	spec.Evidence("refusal", "the send to %v succeeded, the next operation gave %v, then nothing was pending", closed, told)
})

// refusal sends to a closed port and returns what the operation after it is
// told. It fails when that is not ECONNREFUSED, or not once.
func refusal(ctx context.Context, closed netip.AddrPort) (told, err error) {
	client, err := sock.New(sock.UDP, sock.IPv4)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := client.Connect(ctx, closed); err != nil {
		return nil, err
	}
	if _, err := client.Send(ctx, []byte("anybody?"), 0); err != nil {
		return nil, fmt.Errorf("the first operation: %w", err)
	}
	if _, err := client.Poll(ctx, 0); err != nil {
		return nil, fmt.Errorf("no error came back: %w", err)
	}
	_, told = client.Send(ctx, []byte("anybody?"), 0)
	if !errors.Is(told, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("the second operation gave %v and should give %w", told, syscall.ECONNREFUSED)
	}
	if again := client.PendingError(); again != nil {
		return nil, fmt.Errorf("told a second time: %w", again)
	}
	return syscall.ECONNREFUSED, nil
}
