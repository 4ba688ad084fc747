package ping

import (
	"context"
	"errors"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// unreachables is how many datagrams must all be answered: the kernel lets six
// of them through at once where it limits the rate of errors to one receiver.
const unreachables = 2000

var _ = suite.It("answers each of 2,000 datagrams to a closed port, at any rate", check.Check{
	ID: "PING-016", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/icmp.c, icmpv4_xrlim_allow and __icmp_send (no rate limit on loopback)",
	Asks: "Sends 2,000 datagrams to a UDP port of 127.0.0.1 that is held closed, each as soon as the error for the one before is there. " +
		"Each must bring ICMP port unreachable into the sender's error queue.",
	Why: "A client whose server is down on this machine learns it from every datagram. Were errors limited on loopback as they are towards the network, " +
		"DNS stubs and metrics clients under load would wait for timeouts, and only under load.",
	Causes: []string{
		"a firewall limits ICMP on lo (limit, hashlimit), or drops errors from time to time",
		"a queueing discipline on lo that drops or limits the rate",
		spec.OtherStack,
	},
	Remedies: []string{
		acceptLoopback,
		"tc qdisc show dev lo; tc qdisc del dev lo root takes off one that drops or limits",
	},
}, func(ctx SpecContext) {
	held, closed, err := sock.ClosedUDP(sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(held.Close)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	client, err := sock.New(sock.UDP, sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	Expect(client.QueueErrors()).To(Succeed())
	Expect(client.Connect(ctx, closed)).To(Succeed())

	load := spec.StartLoad()
	answered, stray, err := unreachableTimes(ctx, client, unreachables)
	spec.Measure("unreachables", float64(answered))
	if errors.Is(err, context.DeadlineExceeded) {
		load.ExcuseTimeout(err)
		Expect(answered).To(Equal(unreachables), "datagrams to closed port %v of %d that were answered with an ICMP error, before one was not within %v", closed, unreachables, replyTimeout)
	}
	Expect(err).NotTo(HaveOccurred(), "datagram %d to closed port %v", answered+1, closed)
	Expect(stray).To(BeNil(), "an ICMP error for datagram %d to closed port %v that is not port unreachable", answered+1, closed)
	spec.Evidence("errors", "%d of %d datagrams were answered with port unreachable", answered, unreachables)
})

// unreachableTimes sends datagrams, each when the error for the last was there,
// until one is not answered, or with another error.
func unreachableTimes(ctx context.Context, client *sock.Socket, times int) (answered int, stray *sock.ICMPError, err error) {
	for ; answered < times; answered++ {
		e, err := unreachableOnce(ctx, client)
		if err != nil {
			return answered, nil, err
		}
		if *e != (sock.ICMPError{Type: unreachableType, Code: portCode}) {
			return answered, e, nil
		}
	}
	return answered, nil, nil
}

func unreachableOnce(ctx context.Context, client *sock.Socket) (*sock.ICMPError, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	// The error that was queued last is reported by the next send as well, in
	// whose place it comes (udp(7)).
	_, err := client.Send(ctx, []byte("anybody?"), 0)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_, err = client.Send(ctx, []byte("anybody?"), 0)
	}
	if err != nil {
		return nil, err
	}
	for {
		// On loopback the error is mostly there before the send returns.
		if e, err := client.QueuedError(); e != nil || err != nil {
			return e, err
		}
		if _, err := client.Poll(ctx, 0); err != nil {
			return nil, err
		}
	}
}
