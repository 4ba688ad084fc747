package tcp

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// onceBytes go in onceChunk pieces, each a segment of its own, of which
	// onceBurst are under way at a time.
	onceBytes = 2 << 20
	onceChunk = 2 << 10
	onceBurst = 32
	// onceTries is how often it is asked: where the sender cannot stay on one
	// processor, it may reorder its own segments when it is moved in mid-transfer.
	onceTries = 4
)

var _ = suite.It("delivers segments once, in order and without marks of congestion", check.Check{
	ID: "TCP-084", Grade: check.GradeWarn, OS: "linux",
	Source: "RFC 9293 3.10.7.4; RFC 2883 (DSACK); RFC 3168 6.1.2; linux (tcpi_rcv_ooopack, tcpi_reord_seen, tcpi_dsack_dups, tcpi_delivered_ce)",
	Asks:   "Sends 2 MiB in pieces of 2 KiB over a connection to 127.0.0.1 and reads TCP_INFO of both ends: segments that came out of order, that the peer had twice though they were sent once, or that were marked for congestion. It asks up to four times, and one transfer without any is enough.",
	Why:    "Loopback hands over one packet after the other and has no router that could mark them. Where segments overtake each other or come twice, senders slow down and send again; where they are marked, senders that use ECN halve their rate for nothing. Nothing fails, and everything is slower than it need be.",
	Causes: []string{
		"what is sent over loopback goes through another device or a program, by a routing rule",
		"a firewall rule duplicates packets or sets the ECN field",
		"a queueing discipline on lo that marks (fq_codel, red) or reorders (netem)",
	},
	Remedies: []string{
		"look for rules before the local table with `ip rule`, for `dup` and `ecn set` in `nft list ruleset`, and at `tc qdisc show dev lo`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, transferPatience)
	var last string
	for try := 1; try <= onceTries; try++ {
		client, server := joined(deadline)
		Expect(client.Set(sock.NoDelay, 1)).To(Succeed())
		Expect(spec.FromOneProcessor(func() error { return pour(deadline, client, server) })).To(Succeed(), "%d bytes over a connection to 127.0.0.1", onceBytes)
		sent, err := client.TCPInfo()
		Expect(err).NotTo(HaveOccurred())
		received, err := server.TCPInfo()
		Expect(err).NotTo(HaveOccurred())
		Expect(errors.Join(abort(client), server.Close())).To(Succeed())
		// What the sender itself sent again, late as it was run, comes twice.
		doubled := sent.DuplicatesReported - min(sent.DuplicatesReported, sent.Retransmissions)
		last = fmt.Sprintf("%d segments out of order, %d times seen reordered by the sender, %d reported twice that were sent once, %d delivered with a mark of congestion",
			received.OutOfOrder, sent.Reorderings, doubled, sent.DeliveredCE)
		if received.OutOfOrder == 0 && sent.Reorderings == 0 && doubled == 0 && sent.DeliveredCE == 0 {
			spec.Evidence("segments", "transfer %d: %d sent, %s", try, sent.DataSegmentsSent, last)
			return
		}
	}
	Fail(fmt.Sprintf("in each of %d transfers, of the last: %s", onceTries, last))
})

// pour sends onceBytes, each piece in a segment of its own, and takes them at the
// other end, a burst at a time.
func pour(ctx context.Context, from, to *sock.Socket) error {
	chunk, buf := make([]byte, onceChunk), make([]byte, onceBurst*onceChunk)
	for sent, taken := 0, 0; taken < onceBytes; {
		for range onceBurst {
			if sent == onceBytes {
				break
			}
			n, err := from.TrySend(chunk[:min(onceChunk, onceBytes-sent)], sock.EndOfRecord)
			if errors.Is(err, syscall.EAGAIN) {
				break
			}
			if err != nil {
				return err
			}
			sent += n
		}
		n, err := to.Recv(ctx, buf, 0)
		if err != nil {
			return err
		}
		taken += n
	}
	return nil
}
