package addressing

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// loSilence is how long nothing may come of a SYN for it to count as lost. Over
// lo the kernel delivers a segment, and answers it, while its sender is still in
// connect(2).
const loSilence = 20 * time.Millisecond

// loGlance is enough to see what has been there for a while.
const loGlance = time.Millisecond

// loDown is what connections over an lo came to that is not up.
type loDown struct {
	NeverUp syscall.Errno // of a connect where it never was
	Lowered syscall.Errno // of one after it was taken down
	State   sock.TCPState // of its socket, after a silence
	// Events and Reached are what the socket and the listener saw by then.
	Events, Reached sock.Event
}

var _ = spec.Job(suite, "finds no route to 127.0.0.1 where lo was never up, and loses SYNs where it was taken down", check.Check{
	ID: "ADDR-013", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux (net/ipv4/devinet.c gives lo its address when it is set up; net/ipv4/fib_semantics.c keeps local routes when an interface is set down; net/core/dev.c drops what goes out at one that is down)",
	Asks:   "Connects to 127.0.0.1 in a network namespace that is fresh, where lo was never set up: that must give ENETUNREACH. In another, takes lo down and connects to a listener there: the socket must stay in SYN_SENT without an error, and the listener hear nothing.",
	Why:    "The two tell a machine or container whose lo was forgotten from one where somebody took it down: in the first every local connection fails at once, in the second each hangs for two minutes and no error says why. Were it the other way round, runbooks and health checks that go by it mislead.",
	Causes: []string{
		"a user-space stack (gVisor, WSL 1) whose lo is always there",
		"a kernel with changes of its own to routing or lo",
	},
	Remedies: []string{
		"`ip link set dev lo up` mends either; see it with `ip -s link show dev lo`",
		wireHostsKernel,
	},
}, connectWithoutLo, func(_ SpecContext, seen loDown) {
	spec.Evidence("lo never up", "connect: %s", loErrno(seen.NeverUp))
	spec.Evidence("lo taken down", "connect: %s, then %s, events: %s", loErrno(seen.Lowered), seen.State, seen.Events)
	differs := seen.differences()
	Expect(len(differs) == 0).To(BeTrueBecause("%s", strings.Join(differs, "; ")))
})

func (seen loDown) differences() (list []string) {
	if seen.NeverUp != syscall.ENETUNREACH {
		list = append(list, fmt.Sprintf("where lo was never up, a connect to 127.0.0.1 gave %q and not %q", loErrno(seen.NeverUp), syscall.ENETUNREACH))
	}
	if seen.Lowered != syscall.EINPROGRESS {
		list = append(list, fmt.Sprintf("where lo was taken down, a connect to 127.0.0.1 gave %q and not %q", loErrno(seen.Lowered), syscall.EINPROGRESS))
	} else if seen.State != sock.SynSent || seen.Events != 0 {
		list = append(list, fmt.Sprintf("where lo was taken down, the socket was in %s with events %s and not in %s without any", seen.State, seen.Events, sock.SynSent))
	}
	if seen.Reached != 0 {
		list = append(list, fmt.Sprintf("where lo was taken down, the listener had events: %s", seen.Reached))
	}
	return list
}

func loErrno(errno syscall.Errno) string {
	if errno == 0 {
		return "no error"
	}
	return errno.Error()
}

func connectWithoutLo(ctx context.Context, in *sandbox.Inside) (seen loDown, err error) {
	err = in.Apart(func() error {
		client, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return err
		}
		defer client.Close()
		seen.NeverUp, err = errnoOf(client.StartConnect(sock.IPv4.Loopback(wirePort)))
		return err
	})
	if err != nil {
		return seen, err
	}
	listener, err := listenAt(sock.IPv4.Loopback(wirePort))
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	if err := iface.Lower("lo"); err != nil {
		return seen, err
	}
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	if seen.Lowered, err = errnoOf(client.StartConnect(sock.IPv4.Loopback(wirePort))); err != nil {
		return seen, err
	}
	if seen.Events, err = eventsWithin(ctx, client, sock.Readable|sock.Writable, loSilence); err != nil {
		return seen, err
	}
	if seen.Reached, err = eventsWithin(ctx, listener, sock.Readable, loGlance); err != nil {
		return seen, err
	}
	info, err := client.TCPInfo()
	seen.State = info.State
	return seen, err
}

// eventsWithin is what a socket has within some time, 0 for nothing.
func eventsWithin(ctx context.Context, s *sock.Socket, events sock.Event, limit time.Duration) (sock.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen, err := s.Poll(ctx, events)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil
	}
	return seen, err
}

// errnoOf is the kernel's word in an error; an error without one comes back.
func errnoOf(err error) (errno syscall.Errno, other error) {
	if err != nil && !errors.As(err, &errno) {
		return 0, err
	}
	return errno, nil
}

func listenAt(at netip.AddrPort) (*sock.Socket, error) {
	s, err := sock.New(sock.TCP, familyOf(at.Addr()))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.Bind(at), s.Listen(8)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// withoutAddress is what came of 127.0.0.1 where lo does not have it.
type withoutAddress struct{ Bind, Connect syscall.Errno }

var _ = spec.Job(suite, "neither binds nor reaches 127.0.0.1 where lo does not have it", check.Check{
	ID: "ADDR-024", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux; bind(2), EADDRNOTAVAIL; connect(2), ENETUNREACH",
	Asks:   "In a network namespace of its own, takes 127.0.0.1/8 from lo, which stays up, and then binds a socket to 127.0.0.1, which must give EADDRNOTAVAIL, and connects to it, which must give ENETUNREACH.",
	Why:    "The kernel has 127.0.0.1 from an address that can be taken away, as a script that flushes all interfaces does. Those two errors, with lo up, are how that is known: servers do not start, and clients fail at once. A stack that goes on as if it were there would send such packets elsewhere.",
	Causes: []string{
		"net.ipv4.ip_nonlocal_bind is 1 in a new network namespace",
		"a user-space stack (gVisor, WSL 1) that has the address built in",
	},
	Remedies: []string{
		"give lo its address again: `ip address add 127.0.0.1/8 dev lo`",
		wireHostsKernel,
	},
}, askWithoutAddress, func(_ SpecContext, seen withoutAddress) {
	spec.Evidence("127.0.0.1", "bind: %s; connect: %s", loErrno(seen.Bind), loErrno(seen.Connect))
	Expect(loErrno(seen.Bind)).To(Equal(syscall.EADDRNOTAVAIL.Error()), "bind to 127.0.0.1 without 127.0.0.1/8 on lo")
	Expect(loErrno(seen.Connect)).To(Equal(syscall.ENETUNREACH.Error()), "connect to 127.0.0.1 without 127.0.0.1/8 on lo")
})

func askWithoutAddress(_ context.Context, _ *sandbox.Inside) (seen withoutAddress, err error) {
	home := sock.IPv4.Loopback(wirePort)
	if err := iface.Take("lo", netip.PrefixFrom(home.Addr(), 8)); err != nil {
		return seen, err
	}
	server, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer server.Close()
	if seen.Bind, err = errnoOf(server.Bind(home)); err != nil {
		return seen, err
	}
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	seen.Connect, err = errnoOf(client.StartConnect(home))
	return seen, err
}
