package tcp

import (
	"context"
	"net/netip"
	"slices"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// atOnce is how long a refusal may take on a machine that has a processor
	// to spare. It costs tens of microseconds.
	atOnce = time.Millisecond
	// Single tries take milliseconds when the processors are busy, so the best
	// of some counts; more are made only where those were slow.
	fewTries, mostTries = 10, 50
)

var _ = suite.It("refuses a connection to a closed port at once", check.Check{
	ID: "TCP-001", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.10.7.1 (a segment to a closed port is answered with RST); connect(2), ECONNREFUSED; ip(7), IP_RECVERR",
	Asks:   "Connects up to 50 times to a port of 127.0.0.1 that is bound but not listening, so that nobody else can open it meanwhile. Every try must end in ECONNREFUSED, brought by RST and not by an ICMP error, and the quickest within 1 ms.",
	Why:    "Programs try the next address, start their own server or report an outage when they are refused. Where the refusal is lost they wait for minutes instead: clients hang, health checks time out, start-up scripts stall.",
	Causes: []string{
		"a firewall rule drops SYNs to closed ports, or the RST that answers them, on lo as well",
		"a firewall rule rejects SYNs with an ICMP error; port unreachable, the default of REJECT, looks to connect(2) like RST",
		"lo is down, or 127.0.0.1 is not on it",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see which rule counts the packets: `nft list ruleset` or `iptables -vnL`",
		"`ip link set lo up` and `ip address show lo`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	_, closed := bound()
	load := spec.StartLoad()
	var took []time.Duration
	for len(took) < fewTries || len(took) < mostTries && slices.Min(took) > atOnce {
		took = append(took, refusal(deadline, closed))
	}
	slices.Sort(took)
	best, median := took[0], took[len(took)/2]
	spec.Measure("refused_best_ns", float64(best))
	spec.Measure("refused_median_ns", float64(median))
	spec.Evidence("refusals", "%d tries of %s: ECONNREFUSED by RST, best %s, median %s", len(took), closed, best, median)
	if best > atOnce {
		if how, starved := load.Starved(); starved {
			spec.Inconclusive("the best of %d refusals took %s, but %s", len(took), best, how)
		}
	}
	Expect(best).To(BeNumerically("<=", atOnce), "the quickest of %d refusals of %v", len(took), closed)
})

// refusal is how long a connection to a closed port takes to be refused.
func refusal(ctx context.Context, closed netip.AddrPort) time.Duration {
	GinkgoHelper()
	client := open()
	Expect(client.QueueErrors()).To(Succeed())
	start := time.Now()
	err := client.Connect(ctx, closed)
	took := time.Since(start)
	Expect(err).To(MatchError(syscall.ECONNREFUSED), "a connection to closed port %v", closed)
	icmp, err := client.QueuedError()
	Expect(err).NotTo(HaveOccurred())
	Expect(icmp).To(BeNil(), "what refused the connection to closed port %v, which RST should have", closed)
	Expect(client.Close()).To(Succeed())
	return took
}

var _ = suite.It("admits one connection more than the backlog and keeps the next one waiting", check.Check{
	ID: "TCP-005", Grade: check.GradeFail, OS: "linux",
	Source: "listen(2); tcp(7), tcp_abort_on_overflow; Documentation/networking/snmp_counter.rst, ListenOverflows",
	Asks:   "Listens with a backlog of 3 and accepts nothing. Four connections must be established and stand in the queue as TCP_INFO of the listener tells it; the SYN of a fifth must be dropped in silence, counted in TcpExt ListenOverflows, and its socket stay in SYN_SENT.",
	Why:    "A burst of connections should wait a second, not fail. Where an overflow is answered with RST, or not counted, a busy server refuses its clients and nothing on the machine tells why.",
	Causes: []string{
		"a firewall limits or rejects new connections on loopback",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"watch overflows with `nstat -az TcpExtListenOverflows TcpExtListenDrops`, queues with `ss -ltn`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	listener, addr := listening(3)
	info, err := listener.TCPInfo()
	Expect(err).NotTo(HaveOccurred())
	queued := func() (uint32, error) {
		info, err := listener.TCPInfo()
		return info.Unacked, err
	}
	backlog := info.Sacked
	spec.Evidence("backlog", "3 asked for, %d in force after net.core.somaxconn", backlog)

	for n := range backlog + 1 {
		Expect(open().Connect(deadline, addr)).To(Succeed(), "connection %d of %d that the queue of %v has room for", n+1, backlog+1, addr)
		// The client is through a moment before its connection is in the queue.
		Eventually(queued).WithContext(deadline).Should(Equal(n+1), "connections that wait to be accepted at %v", addr)
	}

	before := spec.Snapshot()
	extra := open()
	Expect(extra.StartConnect(addr)).To(MatchError(syscall.EINPROGRESS), "the SYN that finds the queue of %v full", addr)
	overflows := func() (int64, error) { return spec.Snapshot().Sub(before).Get("TcpExt", "ListenOverflows") }
	Eventually(overflows).WithContext(deadline).Should(BeNumerically(">=", 1), "growth of TcpExt ListenOverflows after a SYN to the full queue of %v", addr)

	Expect(extra.PendingError()).To(Succeed(), "the SYN that found the queue of %v full", addr)
	info, err = extra.TCPInfo()
	Expect(err).NotTo(HaveOccurred())
	Expect(info.State).To(Equal(sock.SynSent), "state of the connection that found the queue of %v full", addr)
	waiting, err := queued()
	Expect(err).NotTo(HaveOccurred())
	Expect(waiting).To(Equal(backlog+1), "connections that wait to be accepted at %v", addr)
	spec.Evidence("queue", "%d connections wait to be accepted, the next is in %s", waiting, info.State)
})

var _ = suite.It("connects a socket to itself", check.Check{
	ID: "TCP-020", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.5 (simultaneous connection synchronization)",
	Asks:   "Binds a socket to a port of 127.0.0.1, connects it to that very port, and sends some bytes that must come back on the same socket.",
	Why:    "This is the simultaneous open of the standard, on one socket. A client that retries a port of the ephemeral range on its own machine meets it: it then talks to itself and keeps the real server from binding. A tool that looks for open ports has to know of it.",
	Causes: []string{
		"a firewall treats a SYN-ACK or a second SYN without an entry of its own as invalid and drops it",
		"a firewall drops packets whose source and destination are the same (a rule against the LAND attack)",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	s, addr := bound()
	Expect(s.Connect(deadline, addr)).To(Succeed(), "connect a socket to itself")
	// Closing in the ordinary way would keep the port in TIME_WAIT.
	Expect(s.SetLinger(0)).To(Succeed())
	Expect(s.PeerAddr()).To(Equal(addr), "peer of a socket that connected to itself")

	sent := []byte("to myself")
	Expect(s.Send(deadline, sent, 0)).To(Equal(len(sent)), "bytes sent from %v to itself", addr)
	received := make([]byte, len(sent)+1)
	n, err := s.Recv(deadline, received, 0)
	Expect(err).NotTo(HaveOccurred(), "what %v sent to itself", addr)
	Expect(received[:n]).To(Equal(sent), "what %v sent to itself", addr)
	spec.Evidence("self-connect", "%s is its own peer and read back the %d bytes it wrote", addr, n)
})
