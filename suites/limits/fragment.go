package limits

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	fragmentSetting = "net.ipv4.ipfrag_time"
	fragmentTime    = time.Second
	// earliestDrop allows for the tick of the kernel's clock (10 ms at 100 Hz)
	// in which the timer is set.
	earliestDrop = fragmentTime - 20*time.Millisecond
	// latestDrop is for a machine whose processors are busy.
	latestDrop = 6 * time.Second
)

// Counters of datagrams that were never whole (RFC 4293).
var (
	reasmTimeouts = counter{"Ip", "ReasmTimeout"}
	reasmFails    = counter{"Ip", "ReasmFails"}
)

// loneFragment is what became of one.
type loneFragment struct {
	// Held is what waits for the rest after the fragment was sent, and Left
	// what does when it was dropped, or at the latest.
	Held, Left counters.Fragments
	After      time.Duration // since it was sent
	// Timeouts and Fails is how far the counters moved.
	Timeouts, Fails int64
}

var _ = spec.Job(suite, "keeps a lone fragment for ipfrag_time, shows it in sockstat, and drops it then", check.Check{
	ID: "LIM-010", Grade: check.GradeFail, OS: "linux", Slow: true, Needs: []check.Need{check.Sandbox},
	Source: "RFC 791 3.2; RFC 1122 3.3.2; Documentation/networking/ip-sysctl.rst, ipfrag_time; proc_net(5), /proc/net/sockstat",
	Asks:   "In a network namespace of its own with net.ipv4.ipfrag_time at 1 s, sends the first fragment of a datagram and no other. FRAG in /proc/net/sockstat must show one with its memory, for a second, and then none; Ip ReasmTimeout and ReasmFails must grow by one.",
	Why:    "Fragments whose rest was lost take memory that whole datagrams then lack. Where they stay, a trickle of them stops DNS, NFS and VPNs; where they go too soon, datagrams are lost whose pieces took several ways.",
	Causes: []string{
		"net.ipv4.ipfrag_high_thresh is 0 or used up, so that fragments are dropped at once",
		"a firewall drops fragments, or waits for the rest of them itself",
		spec.OtherStack,
	},
	Remedies: []string{
		"`sysctl -w net.ipv4.ipfrag_high_thresh=4194304 net.ipv4.ipfrag_time=30`, the kernel's defaults",
		"see what waits: `grep FRAG /proc/net/sockstat`, `nstat -az IpReasmReqds IpReasmTimeout IpReasmFails`, `nft list ruleset | grep frag-off`",
		spec.OwnStack,
	},
}, holdFragment, func(_ SpecContext, seen loneFragment) {
	spec.Evidence("fragment", "held: %d of %d bytes; after %v: %d of %d bytes; %s %d, %s %d", seen.Held.InUse, seen.Held.MemBytes,
		seen.After.Round(time.Millisecond), seen.Left.InUse, seen.Left.MemBytes, reasmTimeouts, seen.Timeouts, reasmFails, seen.Fails)
	spec.Measure("dropped_after_ns", float64(seen.After))
	Expect(seen.judge()).To(Succeed(), "one fragment of two, with %s at %v", fragmentSetting, fragmentTime)
})

// judge says what became of the fragment that should not have.
func (f loneFragment) judge() error {
	const gauge = "of FRAG in /proc/net/sockstat"
	after := f.After.Round(time.Millisecond)
	switch {
	case f.Held.InUse != 1:
		return fmt.Errorf("inuse %s is %d and not 1 when it was sent", gauge, f.Held.InUse)
	case f.Held.MemBytes <= 0:
		return fmt.Errorf("memory %s is %d while it is held", gauge, f.Held.MemBytes)
	case f.Left.InUse != 0:
		return fmt.Errorf("inuse %s is %d still, after %v", gauge, f.Left.InUse, after)
	case f.After < earliestDrop:
		return fmt.Errorf("it was dropped after %v already", after)
	case f.Timeouts != 1 || f.Fails != 1:
		return fmt.Errorf("it was dropped after %v, and %s grew by %d, %s by %d, and not 1 each", after, reasmTimeouts, f.Timeouts, reasmFails, f.Fails)
	}
	return nil
}

func holdFragment(ctx context.Context, _ *sandbox.Inside) (seen loneFragment, err error) {
	ctx, cancel := context.WithTimeout(ctx, latestDrop)
	defer cancel()
	if err := sysctl.Set(fragmentSetting, "1"); err != nil {
		return seen, err
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	const udp, id = 17, 4711
	lo := sock.IPv4.Loopback(0).Addr()
	lone := sock.Fragment{From: lo, To: lo, ID: id, More: true, Protocol: udp, Payload: make([]byte, 64)}
	sent := time.Now()
	if err := lone.Send(); err != nil {
		return seen, err
	}
	if seen.Held, err = fragmentsUntil(ctx, settling/2, func(f counters.Fragments) bool { return f.InUse > 0 }); err != nil {
		return seen, err
	}
	seen.Left, err = fragmentsUntil(ctx, latestDrop, func(f counters.Fragments) bool { return f.InUse == 0 })
	seen.After = time.Since(sent)
	if err != nil {
		return seen, err
	}
	moved, err := movedTo(context.WithoutCancel(ctx), before, func(moved map[counter]int64) bool {
		return moved[reasmTimeouts] > 0 && moved[reasmFails] > 0
	}, reasmTimeouts, reasmFails)
	seen.Timeouts, seen.Fails = moved[reasmTimeouts], moved[reasmFails]
	return seen, err
}

// fragmentsUntil reads what waits for its rest until the condition holds, or
// the time is over.
func fragmentsUntil(ctx context.Context, limit time.Duration, holds func(counters.Fragments) bool) (counters.Fragments, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		now, err := counters.ReadSockets()
		if err != nil || holds(now.Fragments) || ctx.Err() != nil {
			return now.Fragments, err
		}
		time.Sleep(2 * time.Millisecond) // nothing tells of a gauge
	}
}
