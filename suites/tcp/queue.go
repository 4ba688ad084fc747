package tcp

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("cuts a backlog down to net.core.somaxconn, and tells it and the queue in TCP_INFO", check.Check{
	ID: "TCP-006", Grade: check.GradeFail, OS: "linux",
	Source: "listen(2), NOTES; Documentation/admin-guide/sysctl/net.rst, somaxconn; linux, net/ipv4/tcp.c (tcpi_unacked and tcpi_sacked of listeners)",
	Asks:   "Listens with the largest backlog there is: TCP_INFO of the listener must tell net.core.somaxconn (tcpi_sacked). Listens again with 5, which must be in force then, connects two clients, and reads the queue, which must hold two (tcpi_unacked).",
	Why:    "Most servers ask for a large backlog and are given what this setting allows. `ss -ltn`, exporters and autoscalers read the queue and its limit here, and it is all that tells that a server does not keep up.",
	Causes: []string{
		spec.OtherStack,
		"a firewall limits or rejects new connections on loopback",
	},
	Remedies: []string{
		"see the queues of all listeners: `ss -ltn` (Recv-Q waits, Send-Q is the backlog)",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	const few, clients = 5, 2
	most := setting("net.core.somaxconn")
	listener, addr := listening(math.MaxInt32)
	info := optInfo(listener)[0]
	if now := setting("net.core.somaxconn"); now != most {
		spec.Inconclusive("net.core.somaxconn was changed meanwhile, from %d to %d", most, now)
	}
	Expect(info.State).To(Equal(sock.Listening), "state of the listener at %v", addr)
	Expect(info.Sacked).To(BeEquivalentTo(most), "backlog in force where %d was asked for and net.core.somaxconn is %d", math.MaxInt32, most)
	spec.Evidence("largest backlog", "%d", info.Sacked)

	Expect(listener.Listen(few)).To(Succeed(), "listen once more")
	backlog := optInfo(listener)[0].Sacked
	Expect(backlog).To(BeEquivalentTo(min(few, most)), "backlog in force where %d was asked for and net.core.somaxconn is %d", few, most)
	for n := range uint32(clients) {
		Expect(open().Connect(deadline, addr)).To(Succeed(), "connection %d to %v", n+1, addr)
		Expect(queued(deadline, listener, n+1)).To(Succeed(), "connections that wait to be accepted at %v", addr)
	}
	spec.Evidence("queue", "%d of %d", clients, backlog)
})

// overflow is what became of a connection to a listener whose queue was full.
type overflow struct {
	Errno     syscall.Errno // that connect gave, or that ended it
	After     time.Duration
	State     sock.TCPState
	Overflows int64 // TcpExt ListenOverflows
	SynAgain  int64 // TcpExt TCPSynRetrans
	Resets    int64 // Tcp OutRsts
}

// overflowed has a client connect to a listener whose queue is full.
func overflowed(ctx context.Context, connect func(context.Context, *sock.Socket, netip.AddrPort) error) (seen overflow, err error) {
	addr, done, err := fullQueue(ctx)
	defer done()
	if err != nil {
		return seen, err
	}
	extra, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer extra.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	start := time.Now()
	if err := connect(ctx, extra, addr); err != nil && !errors.As(err, &seen.Errno) {
		return seen, err
	}
	seen.After = time.Since(start)
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	moved := after.Sub(before)
	var first, second, third error
	seen.Overflows, first = moved.Get("TcpExt", "ListenOverflows")
	seen.SynAgain, second = moved.Get("TcpExt", "TCPSynRetrans")
	seen.Resets, third = moved.Get("Tcp", "OutRsts")
	info, fourth := extra.TCPInfo()
	seen.State = info.State
	return seen, errors.Join(first, second, third, fourth)
}

// boundedConnect is how long SO_SNDTIMEO lets a connect wait.
const boundedConnect = 100 * time.Millisecond

var _ = spec.PlainJob(suite, "ends a blocking connect at SO_SNDTIMEO with EINPROGRESS", check.Check{
	ID: "TCP-007", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_SNDTIMEO; connect(2)",
	Asks:   "In a network namespace of its own, connects a blocking socket with SO_SNDTIMEO of 100 ms to a listener whose queue is full. The call must return EINPROGRESS, not before half of that time, and the socket be in SYN_SENT.",
	Why:    "Database drivers, PHP and many C libraries bound their connects this way. Where the limit does nothing, they hang for two minutes when a server does not answer.",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		spec.OwnStack,
		"bound connects for the whole machine with `sysctl -w net.ipv4.tcp_syn_retries=2`",
	},
}, func(ctx context.Context) (overflow, error) {
	return overflowed(ctx, func(_ context.Context, s *sock.Socket, addr netip.AddrPort) error {
		if err := errors.Join(s.SetBlocking(true), s.SetWaits(0, boundedConnect)); err != nil {
			return err
		}
		// A signal of the Go runtime would end the wait with EINTR.
		return sock.Undisturbed(func() error { return s.StartConnect(addr) })
	})
}, func(_ SpecContext, seen overflow) {
	Expect(seen.Errno).To(Equal(syscall.EINPROGRESS), "what a connect returned that SO_SNDTIMEO bounds to %v", boundedConnect)
	Expect(seen.After).To(BeNumerically(">=", boundedConnect/2), "how long SO_SNDTIMEO of %v let a connect wait", boundedConnect)
	Expect(seen.State).To(Equal(sock.SynSent), "state of the connection after SO_SNDTIMEO")
	spec.Evidence("connect", "%s after %v, in %s", seen.Errno, seen.After.Round(time.Millisecond), seen.State)
})

// mostSynAgain is how many retransmissions fit into the three seconds after which
// one of them counts as too few, where there is one in each second.
const mostSynAgain = 2

var _ = spec.Job(suite, "gives up a connect after the tries that TCP_SYNCNT allows", check.Check{
	ID: "TCP-008", Grade: check.GradeFail, OS: "linux", Slow: true, Needs: []check.Need{check.Sandbox},
	Source: "tcp(7), TCP_SYNCNT; connect(2), ETIMEDOUT; RFC 6298 2 (one second before the first retransmission)",
	Asks:   "In a network namespace of its own, connects a socket with TCP_SYNCNT of 1 to a listener whose queue is full. The SYN must be sent again once, or twice where the kernel repeats it every second at first (tcp_syn_linear_timeouts, Linux 6.5), and the connection end in ETIMEDOUT, not before one second has passed (usually after three).",
	Why:    "Load balancers and drivers find out by it within seconds that a server is gone. Where the option does nothing they try for two minutes (6 retransmissions).",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		spec.OwnStack,
		"bound connects for the whole machine with `sysctl -w net.ipv4.tcp_syn_retries=1`",
	},
}, func(ctx context.Context, _ *sandbox.Inside) (overflow, error) {
	return overflowed(ctx, func(ctx context.Context, s *sock.Socket, addr netip.AddrPort) error {
		if err := s.Set(sock.SynCount, 1); err != nil {
			return err
		}
		return s.Connect(ctx, addr)
	})
}, func(_ SpecContext, seen overflow) {
	spec.Measure("given_up_after_ns", float64(seen.After))
	Expect(seen.Errno).To(Equal(syscall.ETIMEDOUT), "what ended a connection with TCP_SYNCNT of 1 to a full queue")
	Expect(seen.SynAgain).To(And(BeNumerically(">=", 1), BeNumerically("<=", mostSynAgain)), "how often the SYN was sent again with TCP_SYNCNT of 1")
	Expect(seen.After).To(BeNumerically(">=", time.Second), "how long it took until a connection with TCP_SYNCNT of 1 was given up")
	spec.Evidence("connect", "%s after %v, the SYN sent again %d time(s)", seen.Errno, seen.After.Round(time.Millisecond), seen.SynAgain)
})

var _ = spec.Job(suite, "drops SYNs to a full queue in silence with tcp_abort_on_overflow, too", check.Check{
	ID: "TCP-009", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "Documentation/networking/ip-sysctl.rst, tcp_abort_on_overflow; linux, net/ipv4/tcp_input.c, tcp_conn_request",
	Asks:   "In a network namespace of its own with net.ipv4.tcp_abort_on_overflow=1: a SYN to a listener whose queue is full must be counted in TcpExt ListenOverflows, not be answered with RST, and leave its socket in SYN_SENT. (The setting is about connections that find the queue full when they are through.)",
	Why:    "The setting is put on servers that shall fail quickly. Were every SYN to a busy server reset, a burst of a moment would be an outage, and health checks take the server out of service.",
	Causes: []string{
		"a firewall rejects new connections beyond a limit",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"`sysctl -w net.ipv4.tcp_abort_on_overflow=0`, the kernel's default",
	},
}, func(ctx context.Context, _ *sandbox.Inside) (overflow, error) {
	if err := sysctl.Set("net.ipv4.tcp_abort_on_overflow", "1"); err != nil {
		return overflow{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return overflowed(ctx, func(ctx context.Context, s *sock.Socket, addr netip.AddrPort) error {
		before, err := counters.Read()
		if err != nil {
			return err
		}
		if err := s.StartConnect(addr); !errors.Is(err, syscall.EINPROGRESS) {
			return err
		}
		if err := counted(ctx, before, "TcpExt", "ListenOverflows"); err != nil {
			return err
		}
		return s.PendingError()
	})
}, func(_ SpecContext, seen overflow) {
	Expect(seen.Errno).To(BeZero(), "what ended the connection to a full queue")
	Expect(seen.Resets).To(BeZero(), "RSTs that were sent after a SYN to a full queue")
	Expect(seen.State).To(Equal(sock.SynSent), "state of the connection to a full queue")
	spec.Evidence("SYN", "%d overflow(s) counted, %d RST, state %s", seen.Overflows, seen.Resets, seen.State)
})

// counted waits until a counter of this thread's network namespace has moved.
func counted(ctx context.Context, since counters.Snapshot, group, name string) error {
	for {
		now, err := counters.Read()
		if err != nil {
			return err
		}
		if moved, err := now.Sub(since).Get(group, name); err != nil || moved > 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(errors.New(group+" "+name+" has not moved"), err)
		}
		time.Sleep(time.Millisecond) // nothing tells of a counter
	}
}
