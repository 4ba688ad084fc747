package tcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = spec.Job(suite, "sends nothing more for a connection that is closed while it opens", check.Check{
	ID: "TCP-073", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 9293 3.10.4 (CLOSE in SYN-SENT); packetdrill close-on-syn-sent",
	Asks:   "In a network namespace of its own, connects to a listener whose queue is full, so that the SYN has no answer, and closes in SYN_SENT. The close must send no segment (Tcp OutSegs, which counts FIN and RST as well), and the connection be gone from the kernel's table, with it the timer that would send the SYN again.",
	Why:    "Clients that race several addresses (Happy Eyeballs) or time out close most attempts so. Where SYNs go on being sent, the server takes connections that nobody waits for, and the port stays in use for minutes.",
	Causes: []string{
		spec.OtherStack,
		"a firewall answers or rejects SYNs on loopback, so that no connection stays in SYN_SENT",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
	},
}, clsCloseInSynSent, func(_ SpecContext, seen clsClosedEarly) {
	clsJudgeClosedEarly(Default, seen)
	spec.Evidence("close in SYN_SENT", "%d segments sent; the connection is in %s", seen.Sent, clsName(seen.After))
})

// clsClosedEarly is what a close in SYN_SENT brought about.
type clsClosedEarly struct {
	Before, After sock.TCPState
	Sent          int64 // Tcp OutSegs
	Resets        int64 // Tcp OutRsts
}

func clsJudgeClosedEarly(g Gomega, seen clsClosedEarly) {
	GinkgoHelper()
	g.Expect(seen.Before).To(Equal(sock.SynSent), "state of the connection before its close")
	g.Expect(seen.Sent).To(BeZero(), "segments sent by the close of a connection in SYN_SENT, %d of them RST", seen.Resets)
	g.Expect(clsName(seen.After)).To(Equal(clsName(clsGone)), "where the connection is after its close in SYN_SENT")
}

// clsBeforeSynAgain is how long after its SYN a connection is closed at the
// latest, so that the SYN is not sent again meanwhile: that happens after a
// second (RFC 6298 2).
const clsBeforeSynAgain = 800 * time.Millisecond

// clsCloseInSynSent closes a connection whose SYN was not answered.
func clsCloseInSynSent(ctx context.Context, _ *sandbox.Inside) (seen clsClosedEarly, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	addr, done, err := fullQueue(ctx)
	defer done()
	if err != nil {
		return seen, err
	}
	for {
		late, err := seen.once(ctx, addr)
		if err != nil || !late {
			return seen, err
		}
		if err := ctx.Err(); err != nil {
			return seen, fmt.Errorf("close a connection within %v of its SYN: %w", clsBeforeSynAgain, err)
		}
	}
}

// once opens a connection and closes it. Late says that it was so slow that
// the SYN may have been sent again.
func (seen *clsClosedEarly) once(ctx context.Context, addr netip.AddrPort) (late bool, err error) {
	s, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return false, err
	}
	defer s.Close()
	start := time.Now()
	before, err := counters.Read()
	if err != nil {
		return false, err
	}
	if err := s.StartConnect(addr); !errors.Is(err, syscall.EINPROGRESS) {
		return false, fmt.Errorf("a connection to a full queue: %w", err)
	}
	local, err := s.LocalAddr()
	if err != nil {
		return false, err
	}
	if err := counted(ctx, before, "TcpExt", "ListenOverflows"); err != nil {
		return false, err
	}
	info, err := s.TCPInfo()
	if err != nil {
		return false, err
	}
	seen.Before = info.State
	if before, err = counters.Read(); err != nil {
		return false, err
	}
	if err := s.Close(); err != nil {
		return false, err
	}
	late = time.Since(start) > clsBeforeSynAgain
	after, err := counters.Read()
	if err != nil {
		return late, err
	}
	moved := after.Sub(before)
	var first, second, third error
	seen.Sent, first = moved.Get("Tcp", "OutSegs")
	seen.Resets, second = moved.Get("Tcp", "OutRsts")
	seen.After, third = clsState(ctx, local, addr)
	return late, errors.Join(first, second, third)
}
