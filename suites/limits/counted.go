package limits

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// Counters of TCP and UDP (RFC 4022, RFC 4113).
var (
	activeOpens  = counter{"Tcp", "ActiveOpens"}
	passiveOpens = counter{"Tcp", "PassiveOpens"}
	currEstab    = counter{"Tcp", "CurrEstab"}
	attemptFails = counter{"Tcp", "AttemptFails"}
	outResets    = counter{"Tcp", "OutRsts"}
	inDatagrams  = counter{"Udp", "InDatagrams"}
)

// ordinaryMetrics is the usual remedy where counters are wrong.
const ordinaryMetrics = "compare with what the sockets say: `ss -s`, `nstat -az | grep -E '^(Tcp|Udp)'`"

// opens is how far the counters moved with that many connections.
type opens struct{ Active, Passive, Current int64 }

// counted connections are made, or ended, to see them counted.
const counted = 20

var _ = spec.Job(suite, "counts each connection once at either end, and both ends as established", check.Check{
	ID: "LIM-002", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 4022, tcpActiveOpens, tcpPassiveOpens, tcpCurrEstab; Documentation/networking/snmp_counter.rst",
	Asks:   "Opens 20 connections in a network namespace of its own. Tcp ActiveOpens and PassiveOpens must each grow by 20, and CurrEstab, which counts both ends, by 40.",
	Why:    "Dashboards and alarms for connection rates, leaks and floods (node_exporter, nstat, netdata) are made of these. Wrong, a leak goes unseen until the ports or descriptors are used up.",
	Causes: []string{
		"a firewall drops the last segment of the handshake, so that one end stands and the other does not",
		spec.OtherStack,
	},
	Remedies: []string{
		ordinaryMetrics,
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen opens, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	listener, addr, err := listening(counted, nil)
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	for n := range counted {
		client, err := connected(ctx, addr)
		if err != nil {
			return seen, fmt.Errorf("connection %d of %d: %w", n+1, counted, err)
		}
		defer client.Close()
	}
	// The client is through a moment before its peer is.
	moved, err := movedTo(ctx, before, func(moved map[counter]int64) bool {
		return moved[passiveOpens] >= counted && moved[currEstab] >= 2*counted
	}, activeOpens, passiveOpens, currEstab)
	return opens{moved[activeOpens], moved[passiveOpens], moved[currEstab]}, err
}, func(_ SpecContext, seen opens) {
	spec.Evidence("connections", "%d opened; %s grew by %d, %s by %d, %s by %d", counted, activeOpens, seen.Active, passiveOpens, seen.Passive, currEstab, seen.Current)
	Expect(seen.Active).To(BeEquivalentTo(counted), "growth of %s with %d connections", activeOpens, counted)
	Expect(seen.Passive).To(BeEquivalentTo(counted), "growth of %s with %d connections", passiveOpens, counted)
	Expect(seen.Current).To(BeEquivalentTo(2*counted), "growth of %s with %d connections of which both ends are here", currEstab, counted)
})

// refusal is how far the counters moved with one connection that was refused.
type refusal struct {
	Errno         syscall.Errno
	Fails, Resets int64
}

var _ = spec.Job(suite, "counts a refused connection as one failed attempt and one RST", check.Check{
	ID: "LIM-003", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 4022, tcpAttemptFails, tcpOutRsts; RFC 9293 3.10.7.1",
	Asks:   "Connects to a closed port in a network namespace of its own, which must be refused. Tcp AttemptFails and Tcp OutRsts must each grow by one.",
	Why:    "They are what shows that a service is down which others keep calling, and a scan of ports. Where they stay still, or grow by more, the search begins at the wrong place.",
	Causes: []string{
		"a firewall drops or rejects SYNs in the stack's place (`reject with tcp reset` is not counted as TCP's own)",
		spec.OtherStack,
	},
	Remedies: []string{
		"`nstat -az TcpAttemptFails TcpOutRsts TcpEstabResets`",
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen refusal, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	closed, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer closed.Close()
	if err := closed.Bind(sock.IPv4.Loopback(0)); err != nil {
		return seen, err
	}
	to, err := closed.LocalAddr()
	if err != nil {
		return seen, err
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	client, err := connected(ctx, to)
	if client != nil {
		defer client.Close()
	}
	if seen.Errno, err = errnoOf(err); err != nil {
		return seen, err
	}
	moved, err := movedTo(ctx, before, func(moved map[counter]int64) bool {
		return moved[attemptFails] > 0 && moved[outResets] > 0
	}, attemptFails, outResets)
	seen.Fails, seen.Resets = moved[attemptFails], moved[outResets]
	return seen, err
}, func(_ SpecContext, seen refusal) {
	spec.Evidence("refusal", "%s; %s grew by %d, %s by %d", seen.Errno, attemptFails, seen.Fails, outResets, seen.Resets)
	Expect(seen.Errno).To(Equal(syscall.ECONNREFUSED), "what a connect to a closed port gives")
	Expect(seen.Fails).To(BeEquivalentTo(1), "growth of %s with one connection that was refused", attemptFails)
	Expect(seen.Resets).To(BeEquivalentTo(1), "growth of %s with one connection that was refused", outResets)
})

// readings are how far Udp InDatagrams had moved at each stage.
type readings struct{ Waiting, Peeked, Read int64 }

// unread datagrams are sent before the first is read.
const unread = 5

var _ = spec.Job(suite, "counts a datagram when it is read, not when it arrives", check.Check{
	ID: "LIM-005", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux, net/ipv4/udp.c, udp_recvmsg; RFC 4113, udpInDatagrams (delivered to UDP users)",
	Asks:   "Sends five datagrams over 127.0.0.1 in a network namespace of its own. Udp InDatagrams must not move while they wait in the queue, nor when one is peeked at, and be five once all were read.",
	Why:    "The difference between what interfaces and what UDP counts is what waits in queues or was lost. Who takes InDatagrams for arrivals thinks that a service which does not read receives nothing, and looks at the network.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops datagrams on lo before they reach the socket",
	},
	Remedies: []string{
		"see what waits to be read, Recv-Q of `ss -uan`, beside `nstat -az UdpInDatagrams UdpOutDatagrams UdpInErrors`",
		spec.LetLoopbackPass,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen readings, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sender, receiver, err := datagramPair(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer sender.Close()
	defer receiver.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	moved := func() (int64, error) {
		now, err := counters.Read()
		if err != nil {
			return 0, err
		}
		return now.Sub(before).Get(inDatagrams.group, inDatagrams.name)
	}
	for range unread {
		if _, err := sender.Send(ctx, []byte("unread"), 0); err != nil {
			return seen, err
		}
	}
	if _, err := receiver.Poll(ctx, sock.Readable); err != nil {
		return seen, fmt.Errorf("the first datagram: %w", err)
	}
	var first, second, third error
	seen.Waiting, first = moved()
	buf := make([]byte, 16)
	if _, err := receiver.Recv(ctx, buf, sock.Peek); err != nil {
		return seen, err
	}
	seen.Peeked, second = moved()
	for n := range unread {
		if _, err := receiver.Recv(ctx, buf, 0); err != nil {
			return seen, fmt.Errorf("datagram %d of %d: %w", n+1, unread, err)
		}
	}
	seen.Read, third = moved()
	return seen, errors.Join(first, second, third)
}, func(_ SpecContext, seen readings) {
	spec.Evidence(inDatagrams.String(), "grew by %d while %d datagrams waited, by %d after a peek, by %d when all were read", seen.Waiting, unread, seen.Peeked, seen.Read)
	Expect(seen.judge()).To(Succeed())
})

// judge says at which stage the counter moved wrongly.
func (r readings) judge() error {
	for _, stage := range []struct {
		when        string
		moved, want int64
	}{
		{"while datagrams wait to be read", r.Waiting, 0},
		{"after one was peeked at", r.Peeked, 0},
		{"after all were read", r.Read, unread},
	} {
		if stage.moved != stage.want {
			return fmt.Errorf("%s grew by %d and not %d of %d sent, %s", inDatagrams, stage.moved, stage.want, unread, stage.when)
		}
	}
	return nil
}

// timeWaits is what sockstat said of connections that their clients had closed.
type timeWaits struct {
	Closed int
	Moved  counters.Sockets
}

var _ = spec.Job(suite, "shows one socket in TIME_WAIT for each connection that was closed first here", check.Check{
	ID: "LIM-014", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "proc_net(5), /proc/net/sockstat; RFC 9293 3.6; Documentation/networking/ip-sysctl.rst, tcp_max_tw_buckets",
	Asks:   "In a network namespace of its own, has clients end 20 connections, and their peers after them. tw of TCP in /proc/net/sockstat must grow by 20.",
	Why:    "TIME_WAIT keeps the ports that clients, proxies and load tests run out of, and this figure says how many. Where sockets leave it early, late segments of an old connection can get into a new one.",
	Causes: []string{
		"net.ipv4.tcp_max_tw_buckets is very low, so that connections end without TIME_WAIT (TcpExt TCPTimeWaitOverflow counts them)",
		"a firewall drops FIN segments",
		spec.OtherStack,
	},
	Remedies: []string{
		"`sysctl -w net.ipv4.tcp_max_tw_buckets=65536`",
		"see what waits: `ss -tan state time-wait | wc -l`, `nstat -az TcpExtTCPTimeWaitOverflow`",
		spec.LetLoopbackPass,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen timeWaits, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, err := counters.ReadSockets()
	if err != nil {
		return seen, err
	}
	for n := range counted {
		if err := closeActively(ctx); err != nil {
			return seen, fmt.Errorf("connection %d of %d: %w", n+1, counted, err)
		}
		seen.Closed++
	}
	settled, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	for {
		now, err := counters.ReadSockets()
		if err != nil {
			return seen, err
		}
		seen.Moved = now.Sub(before)
		if seen.Moved.TCP.TimeWait >= counted || settled.Err() != nil {
			return seen, nil
		}
		time.Sleep(time.Millisecond) // nothing tells of a gauge
	}
}, func(_ SpecContext, seen timeWaits) {
	spec.Evidence("sockstat", "after %d active closes: %s", seen.Closed, seen.Moved)
	Expect(seen.Moved.TCP.TimeWait).To(BeEquivalentTo(counted), "growth of tw in /proc/net/sockstat with %d connections that their clients closed first", counted)
})

// closeActively makes a connection that its client ends first.
func closeActively(ctx context.Context) error {
	client, server, err := joined(ctx, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	if err := client.Close(); err != nil {
		return err
	}
	n, err := server.Recv(ctx, make([]byte, 1), 0)
	if err != nil {
		return fmt.Errorf("the end that the client made: %w", err)
	}
	if n != 0 {
		return errors.New("a byte that nobody sent came before the end")
	}
	return server.Close()
}
