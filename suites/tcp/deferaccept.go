package tcp

import (
	"context"
	"errors"
	"fmt"
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

// accDeferred is what a listener with TCP_DEFER_ACCEPT made of a client that
// sent nothing at first.
type accDeferred struct {
	Seconds int           // that the option reads back
	Client  sock.TCPState // before it sent anything
	Before  syscall.Errno // what accept said then, 0 where it succeeded
	Dropped int64         // growth of TcpExt TCPDeferAcceptDrop until then
	Text    string        // what was read of the accepted connection
}

const (
	accDeferSeconds = 5
	// accDeferRounded is what the kernel makes of it: how long the SYN-ACK and
	// its retransmissions take, after 1, 3, 7 … seconds.
	accDeferRounded = 7
	accDeferText    = "GET / HTTP/1.1"
)

var _ = spec.Job(suite, "keeps a connection from accept until its data comes, with TCP_DEFER_ACCEPT", check.Check{
	ID: "TCP-026", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "tcp(7), TCP_DEFER_ACCEPT; linux, net/ipv4/tcp.c, secs_to_retrans; gVisor, TCPDeferAccept",
	Asks:   "In a network namespace of its own, sets TCP_DEFER_ACCEPT to 5 seconds on a listener, which must read back 7, the whole of three tries. A client connects and is established; accept must give EAGAIN, and TcpExt TCPDeferAcceptDrop count the client's bare acknowledgement. Once the client sends, accept must succeed and the bytes be there.",
	Why:    "Web servers (`deferred` in nginx, AcceptFilter of Apache) are woken by it only for clients that have asked something. Where it is ignored, idle clients take their workers; where it never lets go, every request hangs.",
	Causes: []string{
		spec.OtherStack,
		"a firewall or synproxy answers the handshake in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"do without it until then: leave out `deferred` in nginx' listen, set `AcceptFilter http none` in Apache",
	},
}, accDefer, func(_ SpecContext, seen accDeferred) {
	spec.Evidence("TCP_DEFER_ACCEPT", "%d reads back %d; before data: client in %s, accept %s, %d acknowledgement(s) dropped; after: %q", accDeferSeconds, seen.Seconds, seen.Client, accErrnoText(seen.Before), seen.Dropped, seen.Text)
	Expect(seen.Seconds).To(Equal(accDeferRounded), "TCP_DEFER_ACCEPT after it was set to %d", accDeferSeconds)
	Expect(seen.Client).To(Equal(sock.Established), "state of the client before it sent anything")
	Expect(seen.Before).To(Equal(syscall.EAGAIN), "accept with TCP_DEFER_ACCEPT before the client sent anything")
	Expect(seen.Dropped).To(BeNumerically(">=", 1), "growth of TcpExt TCPDeferAcceptDrop")
	Expect(seen.Text).To(Equal(accDeferText), "what was read of a connection that TCP_DEFER_ACCEPT had kept")
})

// accErrnoText is an errno of which 0 says that all went well.
func accErrnoText(errno syscall.Errno) string {
	if errno == 0 {
		return "succeeded"
	}
	return errno.Error()
}

func accDefer(ctx context.Context, _ *sandbox.Inside) (seen accDeferred, err error) {
	// With a cookie for every SYN there is nothing that could be kept back. A
	// new namespace has 1, where it has the setting.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	listener, err := accListen(map[sock.Option]int{sock.DeferAccept: accDeferSeconds})
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	seen.Seconds, err = listener.Get(sock.DeferAccept)
	addr, addrErr := listener.LocalAddr()
	before, readErr := counters.Read()
	if err := errors.Join(err, addrErr, readErr); err != nil {
		return seen, err
	}
	if err := client.Connect(ctx, addr); err != nil {
		return seen, err
	}
	if err := accSettled(ctx, listener, before); err != nil {
		return seen, err
	}
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	if seen.Dropped, err = after.Sub(before).Get("TcpExt", "TCPDeferAcceptDrop"); err != nil {
		return seen, err
	}
	info, err := client.TCPInfo()
	if err != nil {
		return seen, err
	}
	seen.Client = info.State
	early, err := listener.TryAccept()
	if err == nil {
		return seen, early.Close()
	}
	if !errors.As(err, &seen.Before) {
		return seen, err
	}
	if _, err := client.Send(ctx, []byte(accDeferText), 0); err != nil {
		return seen, err
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return seen, err
	}
	defer server.Close()
	seen.Text, err = accRead(ctx, server)
	return seen, err
}

// accSettled waits until the bare acknowledgement of a handshake was dropped,
// or has made a connection that can be accepted.
func accSettled(ctx context.Context, listener *sock.Socket, since counters.Snapshot) error {
	for {
		now, err := counters.Read()
		if err != nil {
			return err
		}
		dropped, err := now.Sub(since).Get("TcpExt", "TCPDeferAcceptDrop")
		if err != nil || dropped > 0 {
			return err
		}
		// Nothing tells of a counter, so it is looked at again in a moment.
		moment, cancel := context.WithTimeout(ctx, time.Millisecond)
		_, err = listener.Poll(moment, sock.Readable)
		cancel()
		if err == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("the acknowledgement of a handshake with TCP_DEFER_ACCEPT was neither dropped nor made a connection of: %w", err)
		}
	}
}
