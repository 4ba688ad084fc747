package latency

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	exchanges = 200
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
	Asks:   "Sends 200 requests over a TCP connection on 127.0.0.1 with TCP_NODELAY, each by one write of 4 bytes and one of 60, and waits for the response of 64 bytes. The second write may not wait until the first is acknowledged, which takes 40 ms where the acknowledgement is delayed: at most 10 exchanges may take 30 ms.",
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
	delayed, slowest, err := exchange(ctx)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "requests in two writes with TCP_NODELAY")
	spec.Measure("exchange_max_ns", float64(slowest.Nanoseconds()))
	if how, starved := load.Starved(); delayed > maxDelayed && starved {
		spec.Inconclusive("%d exchanges took %v or longer, but %s", delayed, delayedAck, how)
	}
	Expect(delayed).To(BeNumerically("<=", maxDelayed), "exchanges that took %v or longer, with TCP_NODELAY; the slowest took %v", delayedAck, slowest.Round(time.Millisecond))
})

// exchange makes the exchanges and counts those that took as long as a delayed
// acknowledgement. It ends as soon as those are too many.
func exchange(ctx context.Context) (delayed int, slowest time.Duration, err error) {
	client, server, err := connected(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	defer server.Close()
	if err := client.SetNoDelay(true); err != nil {
		return 0, 0, fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	answered := make(chan error, 1)
	go func() {
		request := make([]byte, messageBytes)
		for {
			if _, err := io.ReadFull(server, request); err != nil {
				answered <- err
				return
			}
			if _, err := server.Write(request); err != nil {
				answered <- err
				return
			}
		}
	}()
	defer func() {
		client.Close()
		<-answered // it ends with its client
	}()
	message, response := make([]byte, messageBytes), make([]byte, messageBytes)
	for n := range exchanges {
		if err := client.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
			return delayed, slowest, err
		}
		for i := range message {
			message[i] = byte(n + i)
		}
		began := time.Now()
		_, err := client.Write(message[:headerBytes])
		if err == nil {
			_, err = client.Write(message[headerBytes:])
		}
		if err == nil {
			_, err = io.ReadFull(client, response)
		}
		if err != nil {
			return delayed, slowest, fmt.Errorf("exchange %d: %w", n+1, err)
		}
		took := time.Since(began)
		if string(response) != string(message) {
			return delayed, slowest, fmt.Errorf("exchange %d: the response differs from its request", n+1)
		}
		slowest = max(slowest, took)
		if took >= delayedAck {
			delayed++
		}
		if delayed > maxDelayed {
			break
		}
	}
	return delayed, slowest, nil
}

// Sizes of a request and its response, and of the request's first write.
const (
	messageBytes = 64
	headerBytes  = 4
)

// connected is both ends of a TCP connection on 127.0.0.1, of which the client's
// context ends the dialling.
func connected(ctx context.Context) (client, server *net.TCPConn, err error) {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(sock.IPv4.Loopback(0)))
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	return connectTo(ctx, listener)
}

// connectTo connects to a listener that nobody else accepts from.
func connectTo(ctx context.Context, listener *net.TCPListener) (client, server *net.TCPConn, err error) {
	dialer := net.Dialer{Timeout: exchangeTimeout}
	c, err := dialer.DialContext(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	if err := listener.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		c.Close()
		return nil, nil, err
	}
	server, err = listener.AcceptTCP()
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c.(*net.TCPConn), server, nil
}
