package udp

import (
	"context"
	"errors"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// flood is how many datagrams are sent to a socket that has room for a
	// few: smallBuffer is doubled by the kernel, and each takes as much again
	// for its bookkeeping.
	flood       = 200
	floodLength = 512
	smallBuffer = 4096
)

var _ = suite.It("counts what a full receive buffer loses, and tells nobody", check.Check{
	ID: "UDP-008", Grade: check.GradeFail, OS: "linux",
	Source: "udp(7); RFC 4113 (udpInErrors); Documentation/networking/snmp_counter.rst; socket(7), SO_RCVBUF",
	Asks:   "Sends 200 datagrams over 127.0.0.1 to a socket that has room for a few and reads nothing meanwhile. Every send must succeed and leave no error at either end, some datagrams must arrive, and Udp InErrors and RcvbufErrors must each grow by what was lost, at least.",
	Why:    "It is how statsd, syslog and DNS servers lose messages under load. The counters are the only trace: where they do not move, the loss is looked for in the network, and a receiver that is too slow stays undetected.",
	Causes: []string{
		"a firewall or queueing discipline on lo drops datagrams before they reach the socket, where other counters count",
		spec.OtherStack,
	},
	Remedies: []string{
		"see where they went: `nstat -az UdpRcvbufErrors UdpInErrors UdpMemErrors`, `nft list ruleset`, `tc -s qdisc show dev lo`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, patience)
	before := spec.Snapshot()
	sender, receiver := pair(sock.IPv4)
	Expect(overflow(deadline, sender, receiver)).To(Succeed())

	kept := 0
	var lost, inErrors, noRoom int64
	look := func() bool {
		kept += unreadOf(receiver)
		lost = int64(flood - kept)
		moved := spec.Snapshot().Sub(before)
		inErrors, noRoom = udpCounter(moved, "InErrors"), udpCounter(moved, "RcvbufErrors")
		return inErrors >= lost && noRoom >= lost
	}
	// A datagram may still be under way.
	for !look() && deadline.Err() == nil {
		aMoment(deadline, receiver)
	}
	spec.Evidence("flood", "%d sent, %d arrived, %d lost; InErrors grew by %d, RcvbufErrors by %d", flood, kept, lost, inErrors, noRoom)
	if how, starved := load.Starved(); starved && deadline.Err() != nil {
		spec.Inconclusive("%d datagrams lost and %d counted, but %s", lost, noRoom, how)
	}
	Expect(lost).To(BeNumerically(">", 0), "datagrams of %d that a receive buffer of %d bytes has no room for", flood, 2*smallBuffer)
	Expect(kept).To(BeNumerically(">", 0), "datagrams of %d that arrived", flood)
	Expect(noRoom).To(BeNumerically(">=", lost), "growth of Udp RcvbufErrors, where %d of %d datagrams were lost", lost, flood)
	Expect(inErrors).To(BeNumerically(">=", lost), "growth of Udp InErrors, where %d of %d datagrams were lost", lost, flood)
	Expect(sender.PendingError()).To(Succeed(), "SO_ERROR of the sender")
	Expect(receiver.PendingError()).To(Succeed(), "SO_ERROR of the receiver")
})

var _ = suite.It("tells a socket how many datagrams it lost where it asks", check.Check{
	ID: "UDP-009", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_RXQ_OVFL",
	Asks:   "Sends 200 datagrams over 127.0.0.1 to a socket with SO_RXQ_OVFL that has room for a few, then reads what is there and sends one more. The count that comes with it must be exactly how many were lost.",
	Why:    "The counters of the machine do not say which socket lost what. Packet capture, telemetry and media servers read this count to know that their record has gaps and how large a buffer they need.",
	Causes: []string{
		"a firewall or queueing discipline on lo drops datagrams before they reach the socket",
		spec.OtherStack,
	},
	Remedies: []string{
		"see what sockets lose: `ss -uanm`, the d of skmem",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, patience)
	sender, receiver := pair(sock.IPv4)
	Expect(receiver.Set(sock.ReceiveOverflow, 1)).To(Succeed())
	Expect(overflow(deadline, sender, receiver)).To(Succeed())
	kept := unreadOf(receiver)
	last := []byte("the last one")
	Expect(sender.Send(deadline, last, 0)).To(Equal(len(last)))
	buf := make([]byte, floodLength)
	for {
		m, err := receiver.RecvMessage(deadline, buf)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "the datagram after %d, of which %d arrived", flood, kept)
		if m.Bytes != len(last) {
			kept++ // it was still under way
			continue
		}
		spec.Evidence("flood", "%d sent, %d arrived, %d lost as SO_RXQ_OVFL says", flood, kept, m.Dropped)
		Expect(kept).To(BeNumerically("<", flood), "datagrams of %d that arrived in a receive buffer of %d bytes", flood, 2*smallBuffer)
		Expect(m.Dropped).To(BeEquivalentTo(flood-kept), "datagrams that SO_RXQ_OVFL says were lost, where %d of %d arrived", kept, flood)
		return
	}
})

// udpCounter is how far a counter of UDP moved.
func udpCounter(moved counters.Snapshot, name string) int64 {
	GinkgoHelper()
	n, err := moved.Get("Udp", name)
	Expect(err).NotTo(HaveOccurred())
	return n
}

// overflow sends more than the receiver has room for.
func overflow(ctx context.Context, sender, receiver *sock.Socket) error {
	if err := receiver.Set(sock.ReceiveBuffer, smallBuffer); err != nil {
		return err
	}
	payload := make([]byte, floodLength)
	for range flood {
		if _, err := sender.Send(ctx, payload, 0); err != nil {
			return err
		}
	}
	return nil
}

// unreadOf takes and counts the datagrams that wait for a socket.
func unreadOf(s *sock.Socket) int {
	GinkgoHelper()
	buf := make([]byte, floodLength)
	for n := 0; ; n++ {
		_, err := s.TryRecv(buf, 0)
		if errors.Is(err, syscall.EAGAIN) {
			return n
		}
		Expect(err).NotTo(HaveOccurred())
	}
}
