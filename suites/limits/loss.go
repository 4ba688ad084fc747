package limits

import (
	"context"
	"encoding/binary"
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
	// lossPackets find a loss of one packet in 200 with a probability above
	// 99 %: 1-(1-0.005)^n is 0.99 at 919 packets and 0.993 at 1,000.
	lossPackets = 1000
	// lossBurst datagrams are under way at a time, of lossPayload bytes, which
	// take at most lossCost of the receive buffer.
	lossBurst   = 25
	lossPayload = 64
	lossCost    = 1280
	// lossPause is how long what is missing of a burst is waited for before the
	// next is sent, and lossGrace how long at the end: what follows a lost
	// datagram comes within microseconds.
	lossPause = 20 * time.Millisecond
	lossGrace = time.Second
	// lossEnough bursts with a gap say enough.
	lossEnough = 10
	// lossTrips are round trips of TCP: each takes two segments with data.
	lossTrips = lossPackets / 2
)

var _ = suite.It("loses none of 1,000 datagrams and 1,000 segments over ::1", check.Check{
	ID: "LIM-016", Grade: check.GradeWarn, OS: "linux",
	Source: "linux (loopback hands over every packet; RFC 768 and RFC 8200 promise none)",
	Needs:  []check.Need{check.IPv6},
	Asks:   "Sends 1,000 numbered datagrams over ::1 in bursts of 25 that the receiver takes before the next, and then 500 bytes there and back over a TCP connection, each in a segment. No datagram may be missing, and no segment have been sent again: with so many, a loss of 0.5 % is found with a probability of 99 %. (UDP-010, TCP-082 and PING-019 ask the same of 127.0.0.1.)",
	Why:    "`localhost` is ::1 first for most programs, and rules for IPv6 are rules of their own. A loss of one in 200 shows as requests that now and then take 0.2 s longer, and as metrics and logs with gaps, on a machine where every single try works.",
	Causes: []string{
		"a firewall limits or drops packets of IPv6 on lo (limit, numgen, connlimit, invalid state)",
		"a queueing discipline on lo polices or drops (`tc -s qdisc show dev lo`; the default is noqueue)",
		"net.core.netdev_max_backlog overflows (second column of /proc/net/softnet_stat)",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see where they went: `nstat -az Udp6RcvbufErrors Udp6InErrors Ip6InDiscards TcpRetransSegs`, `nft list ruleset`",
		"`tc qdisc del dev lo root`",
	},
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	load := spec.StartLoad()
	deadline := spec.Within(ctx, 2*patience)
	sender, receiver := hostPair(sock.IPv6)
	l, err := countLost(deadline, sender, receiver)
	Expect(err).NotTo(HaveOccurred())
	spec.Measure("datagrams_sent", float64(l.sent))
	spec.Measure("datagrams_lost", float64(l.lost))
	spec.Evidence("UDP", "%d sent over ::1, %d lost, of them %d for want of room in the receive buffer", l.sent, l.lost, l.noRoom)
	if l.lost > 0 {
		if how, starved := load.Starved(); starved {
			spec.Inconclusive("%d of %d datagrams are missing, but %s", l.lost, l.sent, how)
		}
		if l.noRoom >= l.lost {
			spec.Inconclusive("%d of %d datagrams found no room in the receive buffer (SO_RXQ_OVFL): see net.ipv4.udp_mem and net.core.rmem_default", l.lost, l.sent)
		}
	}
	Expect(l.lost).To(BeZero(), "datagrams of %d over ::1 that were lost, %d of them for want of room in the receive buffer; the first is number %d", l.sent, l.noRoom, l.first)

	spec.Flow("tcp", sock.IPv6.Loopback(0))
	client, server := hostConnection(deadline, load)
	again, trips, err := countSentAgain(deadline, client, server)
	load.ExcuseTimeout(err)
	spec.Measure("segments_sent_again", float64(again))
	spec.Evidence("TCP", "%d round trips over ::1, %d segments sent again", trips, again)
	Expect(err).NotTo(HaveOccurred(), "round trip %d of %d over ::1", trips+1, lossTrips)
	if how, starved := load.Starved(); starved && again > 0 {
		spec.Inconclusive("%d segments were sent again, but %s", again, how)
	}
	Expect(again).To(BeZero(), "segments of %d round trips over ::1 that were lost and sent again", trips)
})

// loss is what became of numbered datagrams.
type loss struct {
	sent, lost int
	// first is the number of the first that was lost.
	first int
	// noRoom is how many the socket itself lost (SO_RXQ_OVFL).
	noRoom int
}

// countLost sends datagrams as fast as they are taken.
func countLost(ctx context.Context, sender, receiver *sock.Socket) (l loss, err error) {
	if err := receiver.Set(sock.ReceiveOverflow, 1); err != nil {
		return l, err
	}
	room, err := receiver.ReceiveBuffer()
	if err != nil {
		return l, err
	}
	burst := max(1, min(lossBurst, room/4/lossCost))
	taken := taker{receiver: receiver, got: make([]bool, lossPackets+1)}
	payload := make([]byte, lossPayload)
	gaps := 0
	for l.sent < lossPackets && gaps < lossEnough {
		for range min(burst, lossPackets-l.sent) {
			binary.BigEndian.PutUint32(payload, uint32(l.sent))
			if _, err := sender.Send(ctx, payload, 0); err != nil {
				return l, fmt.Errorf("datagram %d over ::1: %w", l.sent, err)
			}
			l.sent++
		}
		complete, err := taken.until(ctx, l.sent-taken.given, lossPause)
		if err != nil {
			return l, err
		}
		if !complete {
			gaps++
			// What is missing by now is not waited for again but at the end.
			taken.given = l.sent - taken.count
		}
	}
	taken.given = 0
	if _, err := taken.until(ctx, l.sent, lossGrace); err != nil {
		return l, err
	}
	l.lost, l.first = l.sent-taken.count, -1
	for n := range l.sent {
		if !taken.got[n] {
			l.first = n
			break
		}
	}
	l.noRoom = taken.dropped
	if l.lost > 0 {
		// The count comes with a datagram that is queued after the loss.
		if dropped, err := taken.askDropped(ctx, sender); err == nil {
			l.noRoom = dropped
		}
	}
	return l, nil
}

// taker takes numbered datagrams.
type taker struct {
	receiver *sock.Socket
	got      []bool
	count    int // of different ones
	given    int // up as lost, for now
	dropped  int // as the last one told
}

// until takes datagrams until that many have come, or none does for the pause.
func (t *taker) until(ctx context.Context, count int, pause time.Duration) (complete bool, err error) {
	buf := make([]byte, lossPayload)
	for t.count < count {
		within, cancel := context.WithTimeout(ctx, pause)
		m, err := t.receiver.RecvMessage(within, buf)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return false, ctx.Err()
		}
		if err != nil {
			return false, err
		}
		t.take(buf[:m.Bytes], m.Dropped)
	}
	return true, nil
}

func (t *taker) take(datagram []byte, dropped uint32) {
	t.dropped = int(dropped)
	if len(datagram) != lossPayload {
		return
	}
	if n := int(binary.BigEndian.Uint32(datagram)); n < len(t.got) && !t.got[n] {
		t.got[n] = true
		t.count++
	}
}

// askDropped sends one datagram more, for what comes with it.
func (t *taker) askDropped(ctx context.Context, sender *sock.Socket) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, lossPause)
	defer cancel()
	if _, err := sender.Send(ctx, []byte("and now"), 0); err != nil {
		return 0, err
	}
	m, err := t.receiver.RecvMessage(ctx, make([]byte, lossPayload))
	return int(m.Dropped), err
}

// hostConnection returns the two ends of a connection over ::1.
func hostConnection(ctx context.Context, load spec.Load) (client, server *sock.Socket) {
	GinkgoHelper()
	listener, err := sock.New(sock.TCP, sock.IPv6)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	Expect(errors.Join(listener.Bind(sock.IPv6.Loopback(0)), listener.Listen(8))).To(Succeed())
	addr, err := listener.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	client, err = connected(ctx, addr)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(client.Close)
	// No port is to stay in TIME_WAIT.
	Expect(client.SetLinger(0)).To(Succeed())
	from, err := client.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	for {
		server, err = listener.Accept(ctx)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "the connection from %v", from)
		DeferCleanup(server.Close)
		// Somebody who scans the machine's ports may have come first.
		if peer, err := server.PeerAddr(); err == nil && peer == from {
			return client, server
		}
	}
}

// countSentAgain makes round trips of one byte, until something was sent again,
// and says how many segments of both ends were, and how many trips that took.
func countSentAgain(ctx context.Context, client, server *sock.Socket) (again, trips int, err error) {
	if err := errors.Join(client.Set(sock.NoDelay, 1), server.Set(sock.NoDelay, 1)); err != nil {
		return 0, 0, err
	}
	const lookEvery = 25
	buf := make([]byte, 2)
	for trips < lossTrips {
		for _, way := range [][2]*sock.Socket{{client, server}, {server, client}} {
			if _, err := way[0].Send(ctx, []byte{'x'}, 0); err != nil {
				return again, trips, err
			}
			if _, err := way[1].Recv(ctx, buf, 0); err != nil {
				return again, trips, err
			}
		}
		trips++
		if trips%lookEvery == 0 || trips == lossTrips {
			if again, err = spec.LostSegments(ctx, client, server); err != nil || again > 0 {
				return again, trips, err
			}
		}
	}
	return again, trips, nil
}
