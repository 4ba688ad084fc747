package ping

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
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// receivers are which of two ping sockets of one identifier received each
// reply, the older being 1.
type receivers struct {
	Both     int // while both were open
	OlderToo bool
	OneAlone int // when the newer had been closed
}

var _ = spec.Job(suite, "gives the replies for two ping sockets of one identifier to the newer", check.Check{
	ID: "PING-012", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux, net/ipv4/ping.c, ping_get_port (an identifier may be shared, without SO_REUSEADDR too) and ping_lookup (the last that was bound comes first)",
	Asks: "In a network namespace of its own, binds two datagram sockets of ICMP to one identifier and pings from the older. The newer must receive the reply, and the older none. " +
		"When the newer is closed, the older must receive its own again.",
	Why: "Pingers that fix their identifier, as to be let through a firewall, share it when a second one is started, after a restart or a fork. " +
		"Which of them gets the replies decides whose host is reported as down.",
	Causes: []string{
		"a kernel that looks sockets up in another order",
		spec.OtherStack,
	},
	Remedies: []string{
		"have each pinger use an identifier of its own: bind to port 0",
		spec.OwnStack,
	},
}, shareIdentifier, func(_ SpecContext, seen receivers) {
	names := map[int]string{0: "none", 1: "the older", 2: "the newer"}
	spec.Evidence("reply", "received by %s; when the newer had been closed, by %s", names[seen.Both], names[seen.OneAlone])
	Expect(names[seen.Both]).To(Equal(names[2]), "which of two ping sockets of one identifier received the reply")
	Expect(seen.OlderToo).To(BeFalseBecause("both ping sockets of one identifier received the reply"))
	Expect(names[seen.OneAlone]).To(Equal(names[1]), "which ping socket received the reply when the newer had been closed")
})

func shareIdentifier(ctx context.Context, _ *sandbox.Inside) (seen receivers, err error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	older, err := letOurselvesPing()
	if err != nil {
		return seen, err
	}
	defer older.Close()
	newer, err := openPing(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer newer.Close()
	var at netip.AddrPort
	for i, t := range []talk{older, newer} {
		if i == 0 {
			at = sock.IPv4.Loopback(0)
		}
		if err := t.Bind(at); err != nil {
			return seen, fmt.Errorf("ping socket %d of 2 of one identifier: %w", i+1, err)
		}
		if at, err = t.LocalAddr(); err != nil {
			return seen, err
		}
	}
	if err := older.ask(ctx, 0, 1); err != nil {
		return seen, err
	}
	if seen.Both, err = whoHears(ctx, older, newer); err != nil || seen.Both == 0 {
		return seen, err
	}
	if seen.Both == 2 {
		_, err := older.TryRecv(make([]byte, 64), 0)
		seen.OlderToo = err == nil
	}
	if err := errors.Join(newer.Close(), older.ask(ctx, 0, 2)); err != nil {
		return seen, err
	}
	seen.OneAlone, err = whoHears(ctx, older)
	return seen, err
}

// whoHears says which of the sockets received something, counted from 1, and
// takes it; 0 where none has until the context ends.
func whoHears(ctx context.Context, sockets ...talk) (int, error) {
	for ctx.Err() == nil {
		for i, t := range sockets {
			_, err := t.TryRecv(make([]byte, 64), 0)
			if err == nil {
				return i + 1, nil
			}
			if !errors.Is(err, syscall.EAGAIN) {
				return 0, err
			}
		}
		last, cancel := context.WithTimeout(ctx, time.Millisecond)
		_, _ = sockets[len(sockets)-1].Poll(last, sock.Readable)
		cancel()
	}
	return 0, nil
}
