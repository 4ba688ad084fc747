package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// Counters of closed windows (Documentation/networking/snmp_counter.rst).
var (
	toZeroWindow   = counter{"TcpExt", "TCPToZeroWindowAdv"}
	fromZeroWindow = counter{"TcpExt", "TCPFromZeroWindowAdv"}
	windowProbes   = counter{"TcpExt", "TCPWinProbe"}
)

const (
	// windowBuffer is what the receiver asks for, and so what fills soon.
	windowBuffer = 16 << 10
	windowPiece  = 4 << 10
	// windowPatience bounds what waits for a probe, which comes after the
	// retransmission timeout, of 0.2 s on loopback.
	windowPatience = 5 * time.Second
)

// window is what became of a connection whose receiver did not read.
type window struct {
	Sent int // until the send buffer was full
	// Waiting is what waited at both ends after the window had been probed.
	Waiting int
	// Closed, Opened and Probed is how far the three counters moved.
	Closed, Opened, Probed int64
	// Read is how many bytes came, as they were sent, and Wrong what came then.
	Read  int
	Wrong string
}

var _ = spec.Job(suite, "opens a closed window again, and loses nothing of what waited", check.Check{
	ID: "LIM-006", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 9293 3.8.6.1 (zero-window probing); Documentation/networking/snmp_counter.rst, TCPToZeroWindowAdv, TCPFromZeroWindowAdv; linux (TCPWinProbe)",
	Asks:   "In a network namespace of its own, sends to a peer that does not read, until its window is closed (TCPToZeroWindowAdv) and the sender has probed it (TCPWinProbe). Nothing of what was sent may be missing then. The peer reads: the window must open (TCPFromZeroWindowAdv) and every byte come, in order.",
	Why:    "A worker that stands still for a moment, in a garbage collection or for its disk, closes its window. Where it does not open again, the connection is up and dead; where the data that came meanwhile is lost, a stream has a hole.",
	Causes: []string{
		"a firewall drops segments without data, or what it takes to be outside of the window",
		spec.OtherStack,
	},
	Remedies: []string{
		"see whose window is closed: `ss -tnim` (snd_wnd:0), `nstat -az TcpExtTCPToZeroWindowAdv TcpExtTCPFromZeroWindowAdv TcpExtTCPWinProbe`",
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, closeWindow, func(_ SpecContext, seen window) {
	spec.Evidence("window", "%d bytes sent; %s %d, %s %d, %s %d; %d bytes read", seen.Sent, toZeroWindow, seen.Closed, windowProbes, seen.Probed, fromZeroWindow, seen.Opened, seen.Read)
	Expect(seen.Closed).To(BeNumerically(">=", 1), "growth of %s with a peer that does not read", toZeroWindow)
	Expect(seen.Probed).To(BeNumerically(">=", 1), "growth of %s with a peer that does not read", windowProbes)
	Expect(seen.Waiting).To(Equal(seen.Sent), "bytes that wait at both ends while the window is closed, of those that were sent")
	Expect(seen.Wrong).To(BeEmpty(), "what was read after the window was closed, behind %d bytes of %d", seen.Read, seen.Sent)
	Expect(seen.Read).To(Equal(seen.Sent), "bytes read after the window was closed, of those that were sent")
	Expect(seen.Opened).To(BeNumerically(">=", 1), "growth of %s with a peer that reads on", fromZeroWindow)
})

func closeWindow(ctx context.Context, _ *sandbox.Inside) (seen window, err error) {
	ctx, cancel := context.WithTimeout(ctx, windowPatience)
	defer cancel()
	client, server, err := joined(ctx, func(s *sock.Socket) error { return s.Set(sock.ReceiveBuffer, windowBuffer) })
	if err != nil {
		return seen, err
	}
	defer client.Close()
	defer server.Close()
	if err := client.Set(sock.SendBuffer, windowBuffer); err != nil {
		return seen, err
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	if seen.Sent, err = sendUntilFull(client, pattern(0)); err != nil {
		return seen, err
	}
	moved := map[counter]int64{}
	for moved[windowProbes] == 0 {
		if moved, err = movedTo(ctx, before, func(moved map[counter]int64) bool { return moved[windowProbes] > 0 }, toZeroWindow, windowProbes); err != nil {
			return seen, err
		}
		seen.Closed, seen.Probed = moved[toZeroWindow], moved[windowProbes]
		if ctx.Err() != nil {
			return seen, nil // the judge says what did not come
		}
	}
	// Without a window nothing is under way.
	unsent, first := client.Unsent()
	unreadBytes, second := server.Unread()
	if seen.Waiting, err = unsent+unreadBytes, errors.Join(first, second); err != nil {
		return seen, err
	}
	want := comparison{want: pattern(0)}
	buf := make([]byte, windowPiece)
	for seen.Read < seen.Sent {
		n, err := server.Recv(ctx, buf, 0)
		if err != nil {
			return seen, fmt.Errorf("read what waited for the window, after %d bytes of %d: %w", seen.Read, seen.Sent, err)
		}
		if n == 0 {
			return seen, fmt.Errorf("the stream ended after %d bytes of %d", seen.Read, seen.Sent)
		}
		if err := want.take(buf[:n]); err != nil {
			seen.Wrong = err.Error()
			return seen, nil
		}
		seen.Read += n
	}
	moved, err = movedTo(ctx, before, func(moved map[counter]int64) bool { return moved[fromZeroWindow] > 0 }, fromZeroWindow)
	seen.Opened = moved[fromZeroWindow]
	return seen, err
}

// sendUntilFull sends until the socket takes no more for now, and says how many
// bytes it took.
func sendUntilFull(s *sock.Socket, source io.Reader) (sent int, err error) {
	var waiting []byte
	for {
		if len(waiting) == 0 {
			waiting = make([]byte, windowPiece)
			if _, err := io.ReadFull(source, waiting); err != nil {
				return sent, err
			}
		}
		n, err := s.TrySend(waiting, 0)
		if errors.Is(err, syscall.EAGAIN) {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		sent += n
		waiting = waiting[n:]
	}
}
