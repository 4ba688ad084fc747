package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	shrinkBefore = 64 << 10
	shrinkAfter  = 1 << 20
	shrinkPiece  = 16 << 10
)

// shrunk is what became of a connection whose path became narrower.
type shrunk struct {
	Before, After int // bytes that arrived with the old MTU and with the new
	Wrong         string
	// SegmentBefore and SegmentAfter are what the sender's segments carried.
	SegmentBefore, SegmentAfter, SentAgain uint32
}

var _ = spec.Job(suite, "delivers 1 MiB on a connection whose MTU is lowered meanwhile", check.Check{
	ID: "LIM-011", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux, net/ipv4/tcp_output.c, tcp_current_mss; RFC 8899 and RFC 1191 6.4 (the path may change while a connection stands)",
	Asks:   "In a network namespace of its own, opens a connection over lo's MTU of 65,536 and sends 64 KiB, lowers the MTU to 1,500 and sends 1 MiB more. Every byte must arrive, in order.",
	Why:    "MTUs change under open connections: a VPN comes up, a script sets all interfaces, a container moves. Where the sender keeps its old segments, the connection stands still with no error until it times out.",
	Causes: []string{
		"a firewall drops or rewrites segments on lo by their length",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"until that is found, open the connections anew once the MTU has changed, and keep it: `ip link set dev lo mtu 65536`",
		spec.OwnStack,
	},
}, shrink, func(_ SpecContext, seen shrunk) {
	spec.Evidence("transfer", "%d bytes in segments of %d, then %d in segments of %d over an MTU of %d; %d sent again", seen.Before, seen.SegmentBefore, seen.After, seen.SegmentAfter, ethernetMTU, seen.SentAgain)
	Expect(seen.Wrong).To(BeEmpty(), "what arrived after %d bytes over an MTU that was lowered to %d", seen.After, ethernetMTU)
	Expect(seen.Before).To(Equal(shrinkBefore), "bytes that arrived before the MTU was lowered")
	Expect(seen.After).To(Equal(shrinkAfter), "bytes that arrived after the MTU was lowered to %d", ethernetMTU)
})

func shrink(ctx context.Context, _ *sandbox.Inside) (seen shrunk, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	client, server, err := joined(ctx, nil)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	defer server.Close()
	source, want := pattern(0), &comparison{want: pattern(0)}
	if seen.Before, err = pass(ctx, client, server, source, want, shrinkBefore); err != nil {
		return seen, fmt.Errorf("before the MTU was lowered: %w", err)
	}
	info, err := client.TCPInfo()
	if err != nil {
		return seen, err
	}
	seen.SegmentBefore = info.SendMSSBytes
	if err := iface.SetMTU("lo", ethernetMTU); err != nil {
		return seen, err
	}
	seen.After, err = pass(ctx, client, server, source, want, shrinkAfter)
	if wrong, is := errors.AsType[*wrongBytesError](err); is {
		seen.Wrong, err = wrong.Error(), nil
	}
	if err != nil {
		return seen, fmt.Errorf("after the MTU was lowered to %d: %w", ethernetMTU, err)
	}
	info, err = client.TCPInfo()
	seen.SegmentAfter, seen.SentAgain = info.SendMSSBytes, uint32(info.Retransmissions)
	return seen, err
}

// wrongBytesError says that what arrived was not what was sent.
type wrongBytesError struct{ error }

// pass sends that many bytes over a connection and reads them at its other end,
// by turns, and says how many arrived as they were sent.
func pass(ctx context.Context, from, to *sock.Socket, source io.Reader, want *comparison, count int) (arrived int, err error) {
	buf := make([]byte, shrinkPiece)
	var waiting []byte
	for sent := 0; arrived < count; {
		if len(waiting) == 0 && sent < count {
			waiting = make([]byte, min(shrinkPiece, count-sent))
			if _, err := io.ReadFull(source, waiting); err != nil {
				return arrived, err
			}
		}
		if len(waiting) > 0 {
			n, err := from.TrySend(waiting, 0)
			if err != nil && !errors.Is(err, syscall.EAGAIN) {
				return arrived, err
			}
			sent += n
			waiting = waiting[n:]
			if err == nil && len(waiting) == 0 && sent < count {
				if ready, err := to.Ready(sock.Readable); err != nil || ready == 0 {
					continue
				}
			}
		}
		n, err := to.Recv(ctx, buf, 0)
		if err != nil {
			return arrived, fmt.Errorf("%d bytes of %d arrived: %w", arrived, count, err)
		}
		if n == 0 {
			return arrived, fmt.Errorf("the stream ended after %d bytes of %d", arrived, count)
		}
		if err := want.take(buf[:n]); err != nil {
			return arrived, &wrongBytesError{err}
		}
		arrived += n
	}
	return arrived, nil
}
