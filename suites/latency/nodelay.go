package latency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// messageBytes is the size of a request and of its response, headerBytes that of
	// the request's first write.
	messageBytes = 64
	headerBytes  = 4
	exchanges    = 200
	// delayedAck is below the least time that Linux delays an acknowledgement by,
	// 40 ms (TCP_DELACK_MIN), and far above what an exchange takes otherwise.
	delayedAck = 30 * time.Millisecond
	// maxDelayed is how many exchanges may take that long. Where the second write
	// waits for the acknowledgement of the first, nearly all do.
	maxDelayed = 10
	// exchangeTimeout is longer than TCP's first retransmissions take.
	exchangeTimeout = 2 * time.Second
)

var _ = suite.It("takes no step of 40 ms for a request in two writes with TCP_NODELAY", check.Check{
	ID: "LAT-006", Grade: check.GradeFail, Benchmark: true,
	Source: "tcp(7), TCP_NODELAY; RFC 9293 3.7.4 (an application can switch the Nagle algorithm off); RFC 1122 4.2.3.2",
	Asks:   "Sends 200 requests over a TCP connection on 127.0.0.1 with TCP_NODELAY, each by one write of 4 bytes and one of 60, and waits for the response of 64 bytes. The second write may not wait until the first is acknowledged, which takes 40 ms where the acknowledgement is delayed. As many requests go in one write, in turns: of those in two, at most 10 more may take 30 ms.",
	Why:    "Drivers of databases, RPC and HTTP libraries send a header and a body by two writes, and set TCP_NODELAY so that it costs nothing. Where it has no effect each request takes 40 ms instead of some tens of microseconds.",
	Causes: []string{
		"a user-space stack or a proxy stands in for loopback and takes TCP_NODELAY without heeding it",
		"a wrapper or a seccomp filter keeps setsockopt from its effect",
		"a relay or a queueing discipline holds acknowledgements or small segments back",
	},
	Remedies: []string{
		"see what the connection has: `ss -tino dst 127.0.0.1`",
		"see what is queued on lo with `tc -s qdisc show dev lo`, and where loopback traffic is led with `ip rule` and `ip route show table all`",
	},
}, func(ctx SpecContext) {
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	load := spec.StartLoad()
	e, err := exchange(ctx)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "requests in two writes with TCP_NODELAY")
	spec.Measure("exchange_max_ns", float64(e.slowest.Nanoseconds()))
	Expect(e.split-e.whole).To(BeNumerically("<=", maxDelayed), "more exchanges that took %v or longer with two writes than with one, with TCP_NODELAY; the slowest took %v",
		delayedAck, e.slowest.Round(time.Millisecond))
})

// exchanged is how many exchanges took as long as a delayed acknowledgement, with
// the request in two writes and in one.
type exchanged struct {
	split, whole int
	slowest      time.Duration // of those in two writes
}

// exchange makes the exchanges. It ends as soon as enough is known.
func exchange(ctx context.Context) (e exchanged, err error) {
	client, server, err := connected(ctx)
	if err != nil {
		return e, err
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		answer(server)
	}()
	defer func() {
		_ = client.Close()
		_ = server.Close()
		<-answered
	}()
	if err := client.SetNoDelay(true); err != nil {
		return e, fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	message := make([]byte, messageBytes)
	for n := range exchanges {
		for i := range message {
			message[i] = byte(n + i)
		}
		whole, err := roundTrip(client, message)
		if err != nil {
			return e, fmt.Errorf("exchange %d, one write: %w", n+1, err)
		}
		split, err := roundTrip(client, message[:headerBytes], message[headerBytes:])
		if err != nil {
			return e, fmt.Errorf("exchange %d, two writes: %w", n+1, err)
		}
		e.slowest = max(e.slowest, split)
		if whole >= delayedAck {
			e.whole++
		}
		if split >= delayedAck {
			e.split++
		}
		if e.split-e.whole > maxDelayed || e.whole > maxDelayed {
			break
		}
	}
	return e, nil
}

// answer sends each message back until the connection ends.
func answer(server *net.TCPConn) {
	message := make([]byte, messageBytes)
	for {
		if _, err := io.ReadFull(server, message); err != nil {
			return
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// roundTrip sends the parts of a message by a write each, and says how long it took
// until all of it was back.
func roundTrip(client *net.TCPConn, parts ...[]byte) (time.Duration, error) {
	if err := client.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return 0, err
	}
	response := make([]byte, messageBytes)
	began := time.Now()
	for _, part := range parts {
		if _, err := client.Write(part); err != nil {
			return 0, err
		}
	}
	if _, err := io.ReadFull(client, response); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if !bytes.Equal(response, slices.Concat(parts...)) {
		return took, errors.New("the response differs from its request")
	}
	return took, nil
}

// connected is both ends of a TCP connection on 127.0.0.1.
func connected(ctx context.Context) (client, server *net.TCPConn, err error) {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(sock.IPv4.Loopback(0)))
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	dialer := net.Dialer{Timeout: exchangeTimeout}
	c, err := dialer.DialContext(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	err = listener.SetDeadline(time.Now().Add(exchangeTimeout))
	if err == nil {
		server, err = listener.AcceptTCP()
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c.(*net.TCPConn), server, nil
}
