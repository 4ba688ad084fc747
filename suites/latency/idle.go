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
	// sparedOf is the part of connections that is given up again where the limit was
	// met: sockets of the measurement need descriptors too.
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
	Asks:   "Makes round trips of 64 bytes over TCP on 127.0.0.1 with both ends on one core, in turns with and without 1,000 idle TCP connections held beside them, or as many as the limit of open files allows: 10 ms over each of 8 fresh connections a side. With them a round trip may take up to 1.5 times as long; on stacks that are in order it was 0.95 to 1.06 times.",
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
	alone, err := bench.NewSide(bench.Spec{Transport: bench.TCP, Engine: bench.Raw, Placement: topology.SameCore}, shortWindow)
	Expect(err).NotTo(HaveOccurred())
	beside := &besideIdle{Side: alone}
	limited, cancel := context.WithTimeout(ctx, slowestLimit)
	defer cancel()
	compared, err := bench.Compare(limited, []bench.Side{alone, beside}, bench.Rounds{Kept: restarts})
	if errors.Is(err, errFewFiles) {
		spec.Skip(needFiles, err.Error())
	}
	if ctx.Err() != nil || limited.Err() == nil {
		Expect(err).NotTo(HaveOccurred(), "round trips beside idle connections")
	}
	spec.Measure("idle_connections", float64(beside.fewest))
	longer := bench.Result{Restarts: compared.Sides[1].Restarts}.Over(bench.Result{Restarts: compared.Sides[0].Restarts})
	expectRatio(longer, maxBesideIdle, fmt.Sprintf("a round trip beside %d idle connections", beside.fewest), "alone")
})

// besideIdle is a benchmark beside connections that are held and not used.
type besideIdle struct {
	bench.Side
	fewest int // connections held in any restart
}

// Restart holds the connections for as long as it measures.
func (b *besideIdle) Restart(ctx context.Context, round int) (bench.Restart, error) {
	held, err := hold(ctx, idleConnections)
	defer held.close()
	if err != nil {
		return bench.Restart{}, err
	}
	if n := len(held) / 2; b.fewest == 0 || n < b.fewest {
		b.fewest = n
	}
	return b.Side.Restart(ctx, round)
}

// errFewFiles says that the limits of the process or the machine leave too few
// descriptors.
var errFewFiles = errors.New("too few connections can be held")

// ends are those of connections, two of each.
type ends []*net.TCPConn

// close resets the connections, so that none stays in TIME_WAIT.
func (e ends) close() {
	for _, c := range e {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// hold opens so many connections, or as many as limits allow.
func hold(ctx context.Context, n int) (held ends, err error) {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(sock.IPv4.Loopback(0)))
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	for range n {
		client, server, err := connectTo(ctx, listener)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			spared := len(held) / 2 / sparedOf * 2
			held[:spared].close()
			if held = held[spared:]; len(held)/2 < fewestIdle {
				return held, fmt.Errorf("%w: %d: %w", errFewFiles, len(held)/2, err)
			}
			return held, nil
		}
		if err != nil {
			return held, fmt.Errorf("connection %d of %d to hold: %w", len(held)/2+1, n, err)
		}
		held = append(held, client, server)
	}
	return held, nil
}
