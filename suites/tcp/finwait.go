package tcp

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// clsSecond is what SO_LINGER and TCP_LINGER2 are set to, of which the
	// least is one second.
	clsSecond = time.Second
	// clsSoonGone bounds how long a connection may be in FIN_WAIT2 with it.
	clsSoonGone = 5 * time.Second
)

var _ = spec.PlainJob(suite, "waits in close for as long as SO_LINGER says, when the peer does not answer", check.Check{
	ID: "TCP-057", Grade: check.GradeFail, OS: "linux", Slow: true,
	Source: "socket(7), SO_LINGER; close(2)",
	Asks:   "In a network namespace of its own, sends to a peer that drops every segment, as if unplugged, sets SO_LINGER to {1,1} and closes. The call must return after one second, and not before.",
	Why:    "Programs set it so that they know at close whether the last bytes have arrived (loggers, print spoolers, SMTP). Where close returns at once, they exit and lose them without a word; where it never returns, a dead peer hangs the program.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter or eBPF program (cgroup/setsockopt) takes SO_LINGER without effect",
	},
	Remedies: []string{
		spec.OwnStack,
		"until then, have the program shut its sending side down and read until the end of the stream before it closes",
	},
}, func(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := clsConnect(ctx)
	if err != nil {
		return 0, err
	}
	defer p.close()
	if err := errors.Join(p.server.IgnoreEverything(), p.client.SetLinger(int(clsSecond/time.Second))); err != nil {
		return 0, err
	}
	if _, err := p.client.Send(ctx, []byte("the last words"), 0); err != nil {
		return 0, err
	}
	// A signal of the Go runtime would end the wait.
	var blocked time.Duration
	err = sock.Undisturbed(func() error {
		start := time.Now()
		defer func() { blocked = time.Since(start) }()
		return p.client.Close()
	})
	return blocked, err
}, func(_ SpecContext, blocked time.Duration) {
	spec.Measure("close_blocked_ns", float64(blocked))
	Expect(blocked).To(BeNumerically(">=", clsSecond-clsTick), "how long close waited with SO_LINGER {1,1} and a peer that does not answer")
	spec.Evidence("close", "returned after %v", blocked.Round(time.Millisecond))
})

var _ = spec.PlainJob(suite, "gives up FIN_WAIT2 after the time that TCP_LINGER2 says", check.Check{
	ID: "TCP-064", Grade: check.GradeFail, OS: "linux", Slow: true,
	Source: "tcp(7), TCP_LINGER2, tcp_fin_timeout; gVisor, TCPFinWait2Test",
	Asks:   "In a network namespace of its own, sets TCP_LINGER2 to 1 and closes a client whose server stays open, which leaves the connection in FIN_WAIT2. It must be gone from the kernel's table after a second, not before, and within five; it would be 60 without the option.",
	Why:    "A peer that never closes (a client that has hung, a proxy that has lost the connection) keeps the other end in FIN_WAIT2. Busy servers shorten it by this option or net.ipv4.tcp_fin_timeout; where it does nothing, dead connections pile up and hold ports and memory.",
	Causes: []string{
		spec.OtherStack,
		"a firewall drops FIN segments, so that connections stay in FIN_WAIT1",
	},
	Remedies: []string{
		spec.OwnStack,
		spec.LetLoopbackPass,
		"see what waits: `ss -tan state fin-wait-2`; shorten it for the whole machine with `sysctl -w net.ipv4.tcp_fin_timeout=10`",
	},
}, func(ctx context.Context) (clsFinWait, error) {
	p, err := clsConnect(ctx)
	if err != nil {
		return clsFinWait{}, err
	}
	defer p.close()
	return clsAwaitForgotten(ctx, p)
}, func(_ SpecContext, seen clsFinWait) {
	spec.Measure("gone_after_ns", float64(seen.After))
	Expect(seen.Gone).To(BeTrueBecause("%v after its close, with TCP_LINGER2 at 1, the connection was still in %s", seen.After.Round(time.Millisecond), seen.State))
	Expect(seen.After).To(BeNumerically(">=", clsSecond-clsTick), "how long after its close the connection was gone, with TCP_LINGER2 at 1")
	spec.Evidence("connection", "gone %v after the close, last seen in %s", seen.After.Round(time.Millisecond), clsName(seen.State))
})

// clsFinWait is how long a connection was there after its close.
type clsFinWait struct {
	After time.Duration
	// State is the last that it was seen in.
	State sock.TCPState
	Gone  bool
}

// clsAwaitForgotten closes the client alone and waits until the kernel has
// forgotten it.
func clsAwaitForgotten(ctx context.Context, p clsPair) (seen clsFinWait, err error) {
	if err := p.client.Set(sock.Linger2, int(clsSecond/time.Second)); err != nil {
		return seen, err
	}
	closed := time.Now()
	if err := p.client.Close(); err != nil {
		return seen, err
	}
	for seen.After < clsSoonGone {
		state, err := clsState(ctx, p.clientAddr, p.serverAddr)
		if err != nil {
			return seen, err
		}
		seen.After, seen.Gone = time.Since(closed), state == clsGone
		if seen.Gone {
			return seen, nil
		}
		seen.State = state
		if err := clsPause(ctx); err != nil {
			return seen, err
		}
	}
	return seen, nil
}
