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

const (
	clsIdle, clsBetween, clsProbes = 1, 1, 2 // seconds, seconds, count
	// clsKeepAlive is when a silent peer is given up: a second of silence and
	// one after each probe.
	clsKeepAlive = (clsIdle + clsProbes*clsBetween) * time.Second
)

// clsSilence is how a connection ended that nobody used and whose peer had
// vanished.
type clsSilence struct {
	Errno  syscall.Errno
	After  time.Duration // since the connection began
	Probes int64         // TcpExt TCPKeepAlive
}

var _ = spec.Job(suite, "gives up an idle connection whose peer leaves keepalive probes unanswered", check.Check{
	ID: "TCP-071", Grade: check.GradeFail, OS: "linux", Slow: true, Needs: []check.Need{check.Sandbox},
	Source: "RFC 9293 3.8.4 (keep-alives); tcp(7), TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; socket(7), SO_KEEPALIVE",
	Asks:   "Connects two sockets in a network namespace of its own, sets SO_KEEPALIVE with TCP_KEEPIDLE 1, TCP_KEEPINTVL 1 and TCP_KEEPCNT 2 on one, and has the other drop every segment, as if unplugged. Two probes must be sent (TcpExt TCPKeepAlive) and the connection end in ETIMEDOUT three seconds after it began, not before, and within eight.",
	Why:    "Connections that wait for the other side to speak (message queues, LISTEN of PostgreSQL, SSH sessions, push services) learn only by keepalive that the peer is gone. Without it they wait for ever for what cannot come, and servers keep their sessions and locks.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter or eBPF program (cgroup/setsockopt) takes the options without effect",
	},
	Remedies: []string{
		spec.OwnStack,
		"see which connections have keepalive, and when they probe next: `ss -tano`",
		"probe at the level of the application (heartbeats of AMQP, ClientAliveInterval of sshd)",
	},
}, clsAwaitSilence, func(_ SpecContext, seen clsSilence) {
	spec.Measure("given_up_after_ns", float64(seen.After))
	Expect(clsSays(seen.Errno)).To(Equal(clsSays(syscall.ETIMEDOUT)), "what ended an idle connection with keepalive whose peer is silent")
	Expect(seen.After).To(BeNumerically(">=", clsKeepAlive-clsTick), "how long after its begin an idle connection with keepalive was given up")
	Expect(seen.Probes).To(BeEquivalentTo(clsProbes), "keepalive probes that were sent")
	spec.Evidence("connection", "%s after %v and %d probes", seen.Errno, seen.After.Round(time.Millisecond), seen.Probes)
})

// clsAwaitSilence waits until keepalive has ended a connection.
func clsAwaitSilence(ctx context.Context, _ *sandbox.Inside) (seen clsSilence, err error) {
	ctx, cancel := context.WithTimeout(ctx, clsLongest)
	defer cancel()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	begun := time.Now()
	p, err := clsConnect(ctx)
	if err != nil {
		return seen, err
	}
	defer p.close()
	if err := errors.Join(
		p.server.IgnoreEverything(),
		p.client.Set(sock.KeepIdle, clsIdle), p.client.Set(sock.KeepInterval, clsBetween),
		p.client.Set(sock.KeepCount, clsProbes), p.client.Set(sock.KeepAlive, 1),
	); err != nil {
		return seen, err
	}
	if _, err := p.client.Poll(ctx, 0); err != nil {
		return seen, fmt.Errorf("the end of an idle connection with keepalive whose peer is silent: %w", err)
	}
	seen.After = time.Since(begun)
	if err := p.client.PendingError(); err != nil && !errors.As(err, &seen.Errno) {
		return seen, err
	}
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	seen.Probes, err = after.Sub(before).Get("TcpExt", "TCPKeepAlive")
	return seen, err
}
