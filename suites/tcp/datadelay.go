package tcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// leastHeld is half of what a partial segment is held for: one minimal
	// retransmission timeout, 200 ms.
	leastHeld = 100 * time.Millisecond
	// leastStall is half of the least delay of an acknowledgement, 40 ms.
	leastStall = 20 * time.Millisecond
	// delayTries is how often what may be late on a busy machine is tried.
	delayTries = 5
)

// heldBack is what became of segments that were not full.
type heldBack struct {
	Corked, More time.Duration // until the peer had bytes that nothing released
	Released     time.Duration // until it had those that were, the quickest try
	Segments     uint32        // in which these came, in that try
	Starved      string        // how the machine was short of processors, if so
}

var _ = spec.PlainJob(suite, "holds a partial segment back with TCP_CORK and MSG_MORE, for about 200 ms", check.Check{
	ID: "TCP-042", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), TCP_CORK; send(2), MSG_MORE; packetdrill sockopt_cork_nodelay",
	Asks:   "In a network namespace of its own, with TCP_NODELAY: ten bytes sent under TCP_CORK, or with MSG_MORE, must not reach the peer before 100 ms, and must reach it after that. Two writes under TCP_CORK must reach it at once and in one segment when TCP_CORK is taken off, in the best of 5 tries.",
	Why:    "Web servers put the header and the file of an answer into full segments that way. Ignored, every small write is a packet of its own; where the held segment is not let go, answers hang.",
	Causes: []string{
		"a kernel or user-space stack that ignores the option",
		"a seccomp filter or a BPF program for socket options (cgroup/setsockopt) answers in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"until then, gather what belongs together in one write: writev(2), or `tcp_nopush off;` in nginx",
	},
}, holdBack, func(_ SpecContext, seen heldBack) {
	spec.Evidence("held", "TCP_CORK %v, MSG_MORE %v", seen.Corked.Round(time.Millisecond), seen.More.Round(time.Millisecond))
	spec.Evidence("released", "%v after the first of two writes, in %d segment(s)", seen.Released, seen.Segments)
	Expect(seen.Corked).To(BeNumerically(">=", leastHeld), "how long TCP_CORK held ten bytes back")
	Expect(seen.More).To(BeNumerically(">=", leastHeld), "how long MSG_MORE held ten bytes back")
	if seen.Released >= leastHeld && seen.Starved != "" {
		spec.Inconclusive("the quickest of %d releases took %v, but %s", delayTries, seen.Released, seen.Starved)
	}
	Expect(seen.Released).To(BeNumerically("<", leastHeld), "how soon two writes reached the peer when TCP_CORK was taken off, the quickest of %d tries", delayTries)
	Expect(seen.Segments).To(BeEquivalentTo(1), "segments that carried two writes under TCP_CORK")
})

func holdBack(ctx context.Context) (seen heldBack, err error) {
	load := spec.StartLoad()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, server, err := pair(ctx)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	defer server.Close()

	if seen.More, err = delivery(ctx, client, server, sock.More); err != nil {
		return seen, fmt.Errorf("with MSG_MORE: %w", err)
	}
	if err := client.Set(sock.Cork, 1); err != nil {
		return seen, err
	}
	if seen.Corked, err = delivery(ctx, client, server, 0); err != nil {
		return seen, fmt.Errorf("with TCP_CORK: %w", err)
	}
	for try := range delayTries {
		took, segments, err := release(ctx, client, server)
		if err != nil {
			return seen, fmt.Errorf("with TCP_CORK taken off: %w", err)
		}
		if try == 0 || took < seen.Released {
			seen.Released, seen.Segments = took, segments
		}
	}
	if how, starved := load.Starved(); starved {
		seen.Starved = how
	}
	return seen, nil
}

// pair is joined for jobs, with TCP_NODELAY at both ends.
func pair(ctx context.Context) (client, server *sock.Socket, err error) {
	client, err = sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, nil, err
	}
	server, err = accepted(ctx, client)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	if err := errors.Join(client.Set(sock.NoDelay, 1), server.Set(sock.NoDelay, 1)); err != nil {
		client.Close()
		server.Close()
		return nil, nil, err
	}
	return client, server, nil
}

// delivery is how long ten bytes take to their peer.
func delivery(ctx context.Context, client, server *sock.Socket, flags sock.Flag) (time.Duration, error) {
	start := time.Now()
	if _, err := client.Send(ctx, []byte("0123456789"), flags); err != nil {
		return 0, err
	}
	if _, err := server.Poll(ctx, sock.Readable); err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, take(ctx, server, 10)
}

// take reads that many bytes.
func take(ctx context.Context, s *sock.Socket, count int) error {
	for left := count; left > 0; {
		n, err := s.Recv(ctx, make([]byte, left), 0)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the stream ended with %d of %d bytes missing", left, count)
		}
		left -= n
	}
	return nil
}

// release writes twice under TCP_CORK, takes it off, and says how long that
// took to the peer and in how many segments.
func release(ctx context.Context, client, server *sock.Socket) (took time.Duration, segments uint32, err error) {
	if err := client.Set(sock.Cork, 1); err != nil {
		return 0, 0, err
	}
	before, err := client.TCPInfo()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	for range 2 {
		if _, err := client.Send(ctx, []byte("01234"), 0); err != nil {
			return 0, 0, err
		}
	}
	if err := errors.Join(client.Set(sock.Cork, 0), take(ctx, server, 10)); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	after, err := client.TCPInfo()
	return took, after.Sub(before).DataSegmentsSent, err
}

// stalls is how long a request took that was written in two parts.
type stalls struct {
	Nagle, NoDelay time.Duration // the quickest of several
	Starved        string        // how the machine was short of processors, if so
}

var _ = spec.PlainJob(suite, "stalls a request written in two parts by Nagle's algorithm and delayed acknowledgements, and not with TCP_NODELAY", check.Check{
	ID: "TCP-043", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 1122 4.2.3.2 and 4.2.3.4; RFC 9293 3.7.4 and 3.8.6.3; tcp(7), TCP_NODELAY, TCP_QUICKACK",
	Asks:   "In a network namespace of its own, a client writes its request in two parts and a server with delayed acknowledgements (TCP_QUICKACK 0) answers the second. The quickest of 5 exchanges must take at least 20 ms, as the acknowledgement of the first part comes after 40; with TCP_NODELAY, less than 20 ms.",
	Why:    "This is the usual reason for answers that take 40 ms on an idle machine. It goes away with TCP_NODELAY or one write; where TCP_NODELAY does nothing, it cannot be cured, and where it never stalls, every keystroke is a packet with its own acknowledgement.",
	Causes: []string{
		"the route has the option quickack, so that acknowledgements are not delayed",
		"a kernel or user-space stack that ignores TCP_NODELAY, or knows no delayed acknowledgements",
	},
	Remedies: []string{
		"look for the option at the routes: `ip route show table all | grep quickack`",
		spec.OwnStack,
	},
}, stall, func(_ SpecContext, seen stalls) {
	spec.Evidence("exchange", "quickest with Nagle's algorithm %v, with TCP_NODELAY %v", seen.Nagle, seen.NoDelay)
	spec.Measure("nagle_stall_ns", float64(seen.Nagle))
	Expect(seen.Nagle).To(BeNumerically(">=", leastStall), "the quickest of %d requests in two parts with Nagle's algorithm", delayTries)
	if seen.NoDelay >= leastStall && seen.Starved != "" {
		spec.Inconclusive("the quickest of %d requests with TCP_NODELAY took %v, but %s", delayTries, seen.NoDelay, seen.Starved)
	}
	Expect(seen.NoDelay).To(BeNumerically("<", leastStall), "the quickest of %d requests in two parts with TCP_NODELAY", delayTries)
})

func stall(ctx context.Context) (seen stalls, err error) {
	load := spec.StartLoad()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, server, err := pair(ctx)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	defer server.Close()
	for _, c := range []struct {
		noDelay  int
		quickest *time.Duration
	}{{0, &seen.Nagle}, {1, &seen.NoDelay}} {
		if err := client.Set(sock.NoDelay, c.noDelay); err != nil {
			return seen, err
		}
		for try := range delayTries {
			took, err := exchange(ctx, client, server)
			if err != nil {
				return seen, fmt.Errorf("exchange %d with TCP_NODELAY %d: %w", try+1, c.noDelay, err)
			}
			if try == 0 || took < *c.quickest {
				*c.quickest = took
			}
		}
	}
	if how, starved := load.Starved(); starved {
		seen.Starved = how
	}
	return seen, nil
}

// exchange has the client write a request in two parts and the server answer.
func exchange(ctx context.Context, client, server *sock.Socket) (time.Duration, error) {
	// A server of a stream of requests, which sends its acknowledgements with
	// its answers.
	if err := server.Set(sock.QuickAck, 0); err != nil {
		return 0, err
	}
	start := time.Now()
	for range 2 {
		if _, err := client.Send(ctx, []byte("x"), 0); err != nil {
			return 0, err
		}
	}
	if err := take(ctx, server, 2); err != nil {
		return 0, err
	}
	if _, err := server.Send(ctx, []byte("x"), 0); err != nil {
		return 0, err
	}
	if err := take(ctx, client, 1); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}
