package tcp

import (
	"context"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// clsNoReuseWindow is how long a port must stay in use that tcp_tw_reuse=0
// keeps in TIME_WAIT, beyond the time after which it might have been reused.
const clsNoReuseWindow = 100 * time.Millisecond

var _ = spec.Job(suite, "runs out of ephemeral ports with EADDRNOTAVAIL, and uses one in TIME_WAIT again", check.Check{
	ID: "TCP-062", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, check.OwnSettings},
	Source: "Documentation/networking/ip-sysctl.rst, tcp_tw_reuse (2: loopback only), tcp_tw_reuse_delay, ip_local_port_range; connect(2), EADDRNOTAVAIL; RFC 6191",
	Asks:   "In a network namespace of its own whose ephemeral range is one port, connects, and connects once more to the same server: EADDRNOTAVAIL. Ends the first connection, whose port is then in TIME_WAIT, and goes on connecting. That must succeed with the same port, not before net.ipv4.tcp_tw_reuse_delay (100 ms here; a second by default, and on kernels without the setting when the next second begins), and the connection carry data.",
	Why:    "A client that opens a connection for each request uses up the range in seconds, and works on only because TIME_WAIT gives ports back after a second and not a minute. With another error than EADDRNOTAVAIL, pools and load generators do not know that they have to wait; where no port comes back, they stand still for a minute.",
	Causes: []string{
		spec.OtherStack,
		"TCP timestamps are off, without which no port in TIME_WAIT can be used again",
		"a firewall drops segments on loopback",
	},
	Remedies: []string{
		"`sysctl -w net.ipv4.tcp_tw_reuse=2 net.ipv4.tcp_timestamps=1`, the kernel's defaults",
		"`sysctl -w net.ipv4.ip_local_port_range='1024 65535'`; see what waits: `ss -tan state time-wait`",
		spec.OwnStack,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen clsExhausted, err error) {
	return clsExhaust(ctx, clsReuseLoopback)
}, func(_ SpecContext, seen clsExhausted) {
	seen.skip()
	spec.Measure("usable_again_after_ns", float64(seen.After))
	clsJudgeReused(Default, seen)
	spec.Evidence("one port", "in use: %s; in TIME_WAIT: used again after %v, in attempt %d", clsSays(seen.Full), seen.After.Round(time.Millisecond), seen.Attempts)
})

// clsJudgeReused wants the port back when its time is over.
func clsJudgeReused(g Gomega, seen clsExhausted) {
	GinkgoHelper()
	clsJudgeExhausted(g, seen)
	g.Expect(seen.Reused).To(BeTrueBecause("the only ephemeral port is in TIME_WAIT and was not to be had for %v, in %d attempts, with net.ipv4.tcp_tw_reuse at %s", seen.After.Round(time.Millisecond), seen.Attempts, clsReuseLoopback))
	g.Expect(seen.After).To(BeNumerically(">=", seen.Delay-clsTick), "after what time a port in TIME_WAIT was used again")
	g.Expect(seen.Echoed).To(Equal(clsEcho), "what came over the connection from a port that was in TIME_WAIT")
}

var _ = spec.Job(suite, "uses no port in TIME_WAIT again with tcp_tw_reuse=0", check.Check{
	ID: "TCP-063", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, check.OwnSettings},
	Source: "Documentation/networking/ip-sysctl.rst, tcp_tw_reuse, tcp_tw_reuse_delay; connect(2), EADDRNOTAVAIL; RFC 9293 3.6.1",
	Asks:   "In a network namespace of its own whose ephemeral range is one port, ends a connection, so that the port is in TIME_WAIT, and goes on connecting with net.ipv4.tcp_tw_reuse=0, for longer than the time after which the port could be used again otherwise. Every attempt must give EADDRNOTAVAIL; with the setting back at 2 it must succeed.",
	Why:    "It is set where an old segment in a new connection must not happen. Where it does nothing, the protection is not there; where it cannot be lifted again, clients stand still for a minute whenever they have used up their ports.",
	Causes: []string{
		spec.OtherStack,
		"TCP timestamps are off, without which no port in TIME_WAIT can be used again",
		"a firewall answers FIN segments with RST, so that no connection comes to TIME_WAIT",
	},
	Remedies: []string{
		spec.OwnStack,
		"`sysctl -w net.ipv4.tcp_tw_reuse=2 net.ipv4.tcp_timestamps=1`, the kernel's defaults",
		spec.LetLoopbackPass,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen clsExhausted, err error) {
	return clsExhaust(ctx, clsReuseNever)
}, func(_ SpecContext, seen clsExhausted) {
	seen.skip()
	clsJudgeHeld(Default, seen)
	spec.Evidence("one port in TIME_WAIT", "%s for %v, in %d attempts; used again with tcp_tw_reuse back at %s", syscall.EADDRNOTAVAIL, seen.Held.Round(time.Millisecond), seen.HeldAttempts, clsReuseLoopback)
})

// clsJudgeHeld wants the port to stay in use until the setting allows it.
func clsJudgeHeld(g Gomega, seen clsExhausted) {
	GinkgoHelper()
	clsJudgeExhausted(g, seen)
	g.Expect(seen.TooSoon).To(BeFalse(), "whether a port in TIME_WAIT was used again, after %v, with net.ipv4.tcp_tw_reuse at %s", seen.Held.Round(time.Millisecond), clsReuseNever)
	g.Expect(seen.Reused).To(BeTrueBecause("the port in TIME_WAIT was not to be had with net.ipv4.tcp_tw_reuse back at %s either, in %d attempts in %v", clsReuseLoopback, seen.Attempts, seen.After.Round(time.Millisecond)))
}

// clsJudgeExhausted wants a connection beyond the last port to be refused.
func clsJudgeExhausted(g Gomega, seen clsExhausted) {
	GinkgoHelper()
	g.Expect(clsSays(seen.Full)).To(Equal(clsSays(syscall.EADDRNOTAVAIL)), "a connect while the only ephemeral port is in use")
}
