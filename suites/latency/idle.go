package latency

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/topology"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// idleConnections are held beside a round trip, or as many as the limit of open
	// files allows, of which it takes fewestIdle to see anything.
	idleConnections = 1000
	fewestIdle      = 50
	// sparedOf is the part of what a limit allows that is not held: one in four.
	sparedOf = 4
	// openingTime bounds how long as many as there are to be take to be opened, where
	// each takes some tens of microseconds on a stack that is in order.
	openingTime = time.Second
	// maxBesideIdle is how many times as long a round trip may take beside them. On
	// stacks that are in order it was 0.9 to 1.2 times: sockets are found by a hash.
	maxBesideIdle = 1.5
)

var needFiles = check.Need{
	Name: "open files",
	How:  "raise the limit of open files with `ulimit -n 4096`",
}

var _ = suite.It("answers as fast beside a thousand idle connections", check.Check{
	ID: "LAT-007", Grade: check.GradeWarn, Benchmark: true, OS: "linux", Timeout: 20 * time.Second,
	Needs:  []check.Need{needFiles},
	Source: "linux (sockets and tracked connections are found by a hash)",
	Asks:   "Makes round trips of 64 bytes over TCP on 127.0.0.1 with both ends on one core, in turns with and without 1,000 idle TCP connections held beside them, or as many as the limit of open files allows: 5 ms over each of 6 fresh connections a side. With them a round trip may take up to 1.5 times as long, or it is asked once more; on stacks that are in order it was 0.9 to 1.2 times.",
	Why:    "Pools, brokers and proxies hold thousands of connections of which few are busy. Where each one that is held makes the others slower, a service slows down with its number of clients and not with its load.",
	Causes: []string{
		"a rule counts connections by walking a list of them for each packet (nft `ct count`, iptables connlimit)",
		"the table of tracked connections has too few buckets (net.netfilter.nf_conntrack_buckets)",
		"a user-space stack or a proxy stands in for loopback and looks at each of its connections in turn",
	},
	Remedies: []string{
		"let rules that count connections see only new ones: put `ct state new` before `ct count`",
		"see how many buckets there are: `sysctl net.netfilter.nf_conntrack_buckets net.netfilter.nf_conntrack_count`",
	},
}, func(ctx SpecContext) {
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	asMeasured := bench.Spec{Transport: bench.TCP, Engine: bench.Raw, Placement: topology.SameCore}
	alone, err := bench.NewSide(asMeasured, shortWindow)
	Expect(err).NotTo(HaveOccurred())
	idle := mostIdle(ctx)
	spec.Measure("idle_connections", float64(idle))
	beside, err := bench.NewSideBeside(asMeasured, shortWindow, func(ctx context.Context) (func(), error) {
		held, err := hold(ctx, idle/2)
		if err != nil {
			held.close()
			return nil, err
		}
		return held.close, nil
	})
	Expect(err).NotTo(HaveOccurred())
	if seen := ratioAbove(maxBesideIdle, func() difference {
		return difference{besideAlone(ctx, alone, beside), fmt.Sprintf("a round trip beside %d idle connections", idle), "alone"}
	}); seen != "" {
		Fail(seen)
	}
})

// besideAlone measures in turns alone and beside what is held.
func besideAlone(ctx context.Context, alone, beside bench.Side) bench.Difference {
	GinkgoHelper()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	load := spec.StartLoad()
	compared, err := bench.Compare(limited, []bench.Side{alone, beside}, bench.Rounds{Kept: fewRestarts})
	if ctx.Err() != nil || limited.Err() == nil {
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "round trips beside idle connections")
	}
	if made := len(compared.Sides[0].Restarts); made < fewestRounds {
		how, _ := load.Starved()
		spec.Inconclusive("only %d rounds were made in %v, while %s", made, limit, how)
	}
	return bench.Result{Restarts: compared.Sides[1].Restarts}.Over(bench.Result{Restarts: compared.Sides[0].Restarts})
}

// mostIdle is how many connections can be held: idleConnections, or where something
// is met that limits them a part of those it allows, which leaves some for the
// measurement. It skips the spec where they are too few.
func mostIdle(ctx context.Context) int {
	GinkgoHelper()
	bounded, cancel := context.WithTimeout(ctx, openingTime)
	defer cancel()
	held, err := hold(bounded, idleConnections)
	held.close()
	if err == nil {
		return idleConnections
	}
	n := (len(held) - len(held)/sparedOf) / 2
	for _, scarce := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL} {
		if len(held) > 0 && n < fewestIdle && errors.Is(err, scarce) {
			spec.Skip(needFiles, err.Error())
		}
	}
	Expect(n).To(BeNumerically(">=", fewestIdle), "connections to hold: %v", err)
	spec.Evidence("idle connections", "%d are held: %v", n, err)
	return n
}

// ends are those of connections, two of each.
type ends []*sock.Socket

// close resets the connections, so that none stays in TIME_WAIT.
func (e ends) close() {
	for _, s := range e {
		_ = s.SetLinger(0)
		_ = s.Close()
	}
}

// hold opens so many connections. With an error it returns those that it opened.
// A handshake over loopback is over when connect(2) returns, so that no goroutine
// has to be woken for it.
func hold(ctx context.Context, n int) (held ends, err error) {
	listener, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := listener.Bind(sock.IPv4.Loopback(0)); err != nil {
		return nil, err
	}
	if err := listener.Listen(1); err != nil {
		return nil, err
	}
	at, err := listener.LocalAddr()
	if err != nil {
		return nil, err
	}
	for i := range n {
		client, server, err := connectTo(ctx, listener, at)
		if err != nil {
			return held, fmt.Errorf("connection %d of %d to hold: %w", i+1, n, err)
		}
		held = append(held, client, server)
	}
	return held, nil
}

// connectTo connects to a listener that nobody else accepts from.
func connectTo(ctx context.Context, listener *sock.Socket, at netip.AddrPort) (client, server *sock.Socket, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	if client, err = sock.New(sock.TCP, sock.IPv4); err != nil {
		return nil, nil, err
	}
	if err = client.Connect(ctx, at); err == nil {
		server, err = listener.Accept(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, server, nil
}
