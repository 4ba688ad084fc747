package tcp

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("keeps TIME_WAIT at the end that closed first, and nothing at the other", check.Check{
	ID: "TCP-059", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.3.2, 3.6.1 (TIME-WAIT); gVisor, TCPTimeWaitTest",
	Asks:   "Closes a client, then its server, and looks both up in the kernel's table of sockets: the client's end must be in TIME_WAIT, and the server's gone.",
	Why:    "TIME_WAIT keeps late segments out of the next connection between the same ports. Without it these can end up in another's data; where the server's end keeps it as well, busy servers fill their tables with connections that their clients have closed.",
	Causes: []string{
		"net.ipv4.tcp_max_tw_buckets is too small for the machine's connections: what is beyond it is closed at once",
		"a firewall drops FIN segments, so that connections hang half closed",
		spec.OtherStack,
	},
	Remedies: []string{
		"`sysctl -w net.ipv4.tcp_max_tw_buckets=262144`; see whether it was exceeded: `nstat -az TcpExtTCPTimeWaitOverflow`",
		spec.LetLoopbackPass,
		"see what waits: `ss -tan state time-wait`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	active, err := client.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	passive, err := client.PeerAddr()
	Expect(err).NotTo(HaveOccurred())
	Expect(clsEnd(deadline, client, server, active, passive)).To(Succeed(), "the end that closed first")
	Expect(clsReaches(deadline, passive, active, clsGone)).To(Succeed(), "the end that closed second")
	spec.Evidence("states", "the end that closed first: %s; the other: gone", sock.TimeWait)
})

// clsRebind is one attempt to listen on a port that an older socket has left.
type clsRebind struct {
	Old, New bool // whether each socket had SO_REUSEADDR
	Errno    syscall.Errno
}

func (r clsRebind) String() string {
	with := map[bool]string{false: "without", true: "with"}
	return "listen " + with[r.New] + " SO_REUSEADDR where the older socket was " + with[r.Old]
}

// clsRebinds has a server on a port with and without SO_REUSEADDR, leave does
// away with it but for what is to stay, and binds a new socket there, again
// with and without.
func clsRebinds(ctx context.Context, leave func(context.Context, *sock.Socket, *sock.Socket) error) (all []clsRebind, err error) {
	for _, old := range []bool{false, true} {
		for _, fresh := range []bool{false, true} {
			r := clsRebind{Old: old, New: fresh}
			err := clsRebindOnce(ctx, old, fresh, leave)
			if r.Errno, err = clsErrnoOf(err, syscall.EADDRINUSE); err != nil {
				return all, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// clsErrnoOf is the errno of a call that may fail so; any other failure is an
// error.
func clsErrnoOf(err error, expected syscall.Errno) (syscall.Errno, error) {
	if errors.Is(err, expected) {
		return expected, nil
	}
	return 0, err
}

func clsRebindOnce(ctx context.Context, old, fresh bool, leave func(context.Context, *sock.Socket, *sock.Socket) error) error {
	listener, err := clsListen(sock.IPv4.Loopback(0), old)
	if err != nil {
		return err
	}
	defer listener.Close()
	addr, err := listener.LocalAddr()
	if err != nil {
		return err
	}
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Connect(ctx, addr); err != nil {
		return err
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := errors.Join(listener.Close(), leave(ctx, client, server)); err != nil {
		return err
	}
	again, err := clsListen(addr, fresh)
	if err != nil {
		return err
	}
	return again.Close()
}

// clsListen is a listener at an address, with or without SO_REUSEADDR.
func clsListen(addr netip.AddrPort, reuse bool) (*sock.Socket, error) {
	s, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, err
	}
	if reuse {
		err = s.SetReuseAddr()
	}
	if err == nil {
		err = s.Bind(addr)
	}
	if err == nil {
		err = s.Listen(8)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// clsJudgeRebinds wants the port to be given only where both sockets had
// SO_REUSEADDR.
func clsJudgeRebinds(all []clsRebind, what string) {
	GinkgoHelper()
	var seen []string
	for _, r := range all {
		want := syscall.EADDRINUSE
		if r.Old && r.New {
			want = 0
		}
		Expect(clsSays(r.Errno)).To(Equal(clsSays(want)), "%v, %s", r, what)
		seen = append(seen, r.String()+": "+clsSays(r.Errno))
	}
	spec.Evidence("listen", "%s", strings.Join(seen, "; "))
}

// clsSays is an errno in words, 0 among them.
func clsSays(errno syscall.Errno) string {
	if errno == 0 {
		return "success"
	}
	return errno.Error()
}

var _ = spec.Job(suite, "gives a port in TIME_WAIT only to a socket with SO_REUSEADDR, from one that had it", check.Check{
	ID: "TCP-060", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "socket(7), SO_REUSEADDR; tools/testing/selftests/net/bind_timewait.c",
	Asks:   "In a network namespace of its own, leaves a server's port in TIME_WAIT, whose socket had SO_REUSEADDR or not, and listens there again, with the option or without. With both it must succeed; in the other three cases it must be refused with EADDRINUSE.",
	Why:    "Every server sets the option so that it can be started again at once. Where it does not help, a restart fails for a minute with `Address already in use`; where the port is given without it, a new service takes late segments of the old one's connections for its own.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter or eBPF program (cgroup/setsockopt) takes SO_REUSEADDR without effect",
	},
	Remedies: []string{
		spec.OwnStack,
		"see what waits on a port: `ss -tan state time-wait 'sport = :PORT'`; what filters options: `bpftool cgroup tree`",
	},
}, func(ctx context.Context, _ *sandbox.Inside) ([]clsRebind, error) {
	return clsRebinds(ctx, func(ctx context.Context, client, server *sock.Socket) error {
		first, err := server.LocalAddr()
		if err != nil {
			return err
		}
		second, err := server.PeerAddr()
		if err != nil {
			return err
		}
		return clsEnd(ctx, server, client, first, second)
	})
}, func(_ SpecContext, all []clsRebind) { clsJudgeRebinds(all, "with its port in TIME_WAIT") })

var _ = suite.It("gives a port that live connections use only to a listener with SO_REUSEADDR, from one that had it", check.Check{
	ID: "TCP-061", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/inet_connection_sock.c, inet_csk_bind_conflict; socket(7), SO_REUSEADDR",
	Asks:   "Accepts a connection, closes the listener, which had SO_REUSEADDR or not, and listens on its port again, with the option or without, while the connection is open. With both it must succeed; in the other three cases it must be refused with EADDRINUSE.",
	Why:    "A server that is started again while clients of its predecessor are still connected (graceful restart of nginx, sshd with open sessions) can do so by this option alone, and must have set it the first time, too.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter or eBPF program (cgroup/setsockopt) takes SO_REUSEADDR without effect",
	},
	Remedies: []string{
		spec.OwnStack,
		"see who is connected to a port: `ss -tanp 'sport = :PORT'`; what filters options: `bpftool cgroup tree`",
	},
}, func(ctx SpecContext) {
	flowsToFreePort()
	all, err := clsRebinds(spec.Within(ctx, patience), func(_ context.Context, client, server *sock.Socket) error {
		// Both are closed, after the attempt, without leaving a TIME_WAIT.
		return errors.Join(client.SetLinger(0), server.SetLinger(0))
	})
	Expect(err).NotTo(HaveOccurred())
	clsJudgeRebinds(all, "with a connection open on its port")
})

// clsCrowded is what became of connections that were more than may be in
// TIME_WAIT.
type clsCrowded struct {
	clsMissing
	Overflows int64 // TcpExt TCPTimeWaitOverflow
	Waiting   int   // in TIME_WAIT
}

const (
	clsBuckets = 2 // net.ipv4.tcp_max_tw_buckets
	clsEnded   = 5 // connections that were closed
)

var _ = spec.Job(suite, "keeps no more connections in TIME_WAIT than tcp_max_tw_buckets, and counts the rest", check.Check{
	ID: "TCP-065", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, check.OwnSettings},
	Source: "Documentation/networking/ip-sysctl.rst, tcp_max_tw_buckets; Documentation/networking/snmp_counter.rst, TcpExtTCPTimeWaitOverflow",
	Asks:   "In a network namespace of its own with net.ipv4.tcp_max_tw_buckets=2, connects and closes five times. Two connections may be in TIME_WAIT; TcpExt TCPTimeWaitOverflow must have grown by the other three.",
	Why:    "It is what keeps a flood of short connections from filling the memory, and the counter is all that tells an operator that TIME_WAIT is being cut short and late segments can reach new connections.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops FIN segments, or answers them with RST, so that no connection comes to TIME_WAIT",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
		"see the limit and what is beyond it: `sysctl net.ipv4.tcp_max_tw_buckets`, `nstat -az TcpExtTCPTimeWaitOverflow`",
	},
}, clsOverfill, func(_ SpecContext, seen clsCrowded) {
	seen.skip()
	clsJudgeCrowded(Default, seen)
	spec.Evidence("TIME_WAIT", "%d of %d connections; TCPTimeWaitOverflow grew by %d", seen.Waiting, clsEnded, seen.Overflows)
})

func clsJudgeCrowded(g Gomega, seen clsCrowded) {
	GinkgoHelper()
	g.Expect(seen.Waiting).To(Equal(clsBuckets), "connections in TIME_WAIT of %d that were closed, with net.ipv4.tcp_max_tw_buckets at %d", clsEnded, clsBuckets)
	g.Expect(seen.Overflows).To(BeEquivalentTo(clsEnded-clsBuckets), "growth of TcpExt TCPTimeWaitOverflow")
}
