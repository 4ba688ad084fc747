package latency

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	// maxBesideIdle is how many times as long a round trip may take beside them. On a
	// stack that is in order it was 0.95 to 1.06 times: sockets are found by a hash.
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
	Asks:   "Makes round trips of 64 bytes over TCP on 127.0.0.1 with both ends on one core, in turns with and without 1,000 idle TCP connections held beside them, or as many as the limit of open files allows: 5 ms over each of 6 fresh connections a side. With them a round trip may take up to 1.5 times as long; on stacks that are in order it was 0.95 to 1.06 times.",
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
	beside, err := bench.NewSideBeside(asMeasured, shortWindow, func(ctx context.Context) (func(), error) {
		held, err := hold(ctx, idle/2)
		if err != nil {
			held.close()
			return nil, err
		}
		return held.close, nil
	})
	Expect(err).NotTo(HaveOccurred())
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	compared, err := bench.Compare(limited, []bench.Side{alone, beside}, bench.Rounds{Kept: fewRestarts})
	if ctx.Err() != nil || limited.Err() == nil {
		Expect(err).NotTo(HaveOccurred(), "round trips beside idle connections")
	}
	spec.Measure("idle_connections", float64(idle))
	longer := bench.Result{Restarts: compared.Sides[1].Restarts}.Over(bench.Result{Restarts: compared.Sides[0].Restarts})
	expectRatio(longer, maxBesideIdle, fmt.Sprintf("a round trip beside %d idle connections", idle), "alone")
})

// mostIdle is how many connections can be held: idleConnections, or where something
// is met that limits them a part of those it allows, which leaves some for the
// measurement. It skips the spec where they are too few.
func mostIdle(ctx context.Context) int {
	GinkgoHelper()
	held, err := hold(ctx, idleConnections)
	held.close()
	if err == nil {
		return idleConnections
	}
	n := (len(held) - len(held)/sparedOf) / 2
	for _, scarce := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL} {
		if n < fewestIdle && errors.Is(err, scarce) {
			spec.Skip(needFiles, err.Error())
		}
	}
	Expect(n).To(BeNumerically(">=", fewestIdle), "connections to hold: %v", err)
	spec.Evidence("idle connections", "%d are held: %v", n, err)
	return n
}

// ends are those of connections, two of each.
type ends []*net.TCPConn

// close resets the connections, so that none stays in TIME_WAIT.
func (e ends) close() {
	for _, c := range e {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// hold opens so many connections. With an error it returns those that it opened.
func hold(ctx context.Context, n int) (held ends, err error) {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(sock.IPv4.Loopback(0)))
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	for i := range n {
		client, server, err := connectTo(ctx, listener)
		if err != nil {
			return held, fmt.Errorf("connection %d of %d to hold: %w", i+1, n, err)
		}
		held = append(held, client, server)
	}
	return held, nil
}
