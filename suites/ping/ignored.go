package ping

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	ignoreAll  = "net.ipv4.icmp_echo_ignore_all"
	ignoreAll6 = "net.ipv6.icmp.echo_ignore_all"
)

// ignoring is which echo requests were answered, by their sequence numbers.
type ignoring struct {
	V4, V6 []uint16
	// NoIPv6 is why IPv6 was not asked.
	NoIPv6 string
}

var _ = spec.Job(suite, "lets icmp_echo_ignore_all silence echoes of IPv4 alone, and IPv6's own setting those of IPv6", check.Check{
	ID: "PING-005", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "Documentation/networking/ip-sysctl.rst, icmp_echo_ignore_all and icmp/echo_ignore_all",
	Asks: "In a network namespace of its own: three echo requests to 127.0.0.1 and three to ::1, with net.ipv4.icmp_echo_ignore_all at 1 for the first, " +
		"both settings at 0 for the last, and net.ipv6.icmp.echo_ignore_all at 1 for the one between, in turn. A request must be left unanswered exactly where the setting of its own family is 1.",
	Why: "Hardened servers are silenced this way, and monitoring is told to expect it. Where the setting does nothing, a machine that is meant to be silent answers scans; " +
		"where it silences both families, health checks over IPv6 take a machine for dead that is not.",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		spec.OwnStack,
		"silence echoes with a rule in the setting's place: `nft insert rule FAMILY TABLE CHAIN icmp type echo-request drop`",
	},
}, silenceEchoes, func(_ SpecContext, seen ignoring) {
	spec.Evidence("answered over IPv4", "the requests %v of 1 to 3", seen.V4)
	Expect(seen.V4).To(Equal([]uint16{2, 3}), "echo requests to 127.0.0.1 that were answered, of which %s was 1 for the first alone", ignoreAll)
	if seen.NoIPv6 != "" {
		spec.Evidence("IPv6", "not asked: %s", seen.NoIPv6)
		return
	}
	spec.Evidence("answered over IPv6", "the requests %v of 1 to 3", seen.V6)
	Expect(seen.V6).To(Equal([]uint16{1, 3}), "echo requests to ::1 that were answered, of which %s was 1 for the second alone", ignoreAll6)
})

func silenceEchoes(ctx context.Context, _ *sandbox.Inside) (seen ignoring, err error) {
	const id = 5
	v4, err := openRaw(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer v4.Close()
	v6, why, err := openRaw6()
	if err != nil {
		return seen, err
	}
	if seen.NoIPv6 = why; why == "" {
		defer v6.Close()
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}

	// IPv4 is silent.
	if err := errors.Join(sysctl.Set(ignoreAll, "1"), v4.ask(ctx, id, 1)); err != nil {
		return seen, err
	}
	if _, err := counted(ctx, before, "IcmpMsg", "InType8", 1); err != nil {
		return seen, err
	}
	if why == "" {
		if err := exchange(ctx, v6, id, 1, &seen.V6); err != nil {
			return seen, fmt.Errorf("with %s at 1: %w", ignoreAll, err)
		}
	}
	if err := sysctl.Set(ignoreAll, "0"); err != nil {
		return seen, err
	}
	if err := exchange(ctx, v4, id, 2, &seen.V4); err != nil {
		return seen, fmt.Errorf("with %s at 0 again: %w", ignoreAll, err)
	}

	// IPv6 is silent.
	if why == "" {
		if err := errors.Join(sysctl.Set(ignoreAll6, "1"), v6.ask(ctx, id, 2)); err != nil {
			return seen, err
		}
		if _, err := counted(ctx, before, "Icmp6", "InEchos", 2); err != nil {
			return seen, err
		}
	}
	if err := exchange(ctx, v4, id, 3, &seen.V4); err != nil {
		return seen, fmt.Errorf("with %s at 1: %w", ignoreAll6, err)
	}
	if why == "" {
		if err := sysctl.Set(ignoreAll6, "0"); err != nil {
			return seen, err
		}
		if err := exchange(ctx, v6, id, 3, &seen.V6); err != nil {
			return seen, fmt.Errorf("with %s at 0 again: %w", ignoreAll6, err)
		}
	}
	return seen, nil
}

// exchange asks once and notes all that is answered up to that.
func exchange(ctx context.Context, t talk, id, seq uint16, replies *[]uint16) error {
	if err := t.ask(ctx, id, seq); err != nil {
		return err
	}
	all, err := t.awaitEcho(ctx, id, seq)
	*replies = append(*replies, answered(all, id)...)
	return err
}

// openRaw6 is openRaw for IPv6, or says why echoes to ::1 cannot be silenced in
// this zone.
func openRaw6() (t talk, why string, err error) {
	if _, err := sysctl.Read(ignoreAll6); errors.Is(err, fs.ErrNotExist) {
		return talk{}, "there is no " + ignoreAll6, nil
	}
	t, err = openRaw(sock.IPv6)
	if err == nil {
		if err = t.Bind(sock.IPv6.Loopback(0)); err != nil {
			_ = t.Close()
		}
	}
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return talk{}, err.Error(), nil
	}
	return t, "", err
}

// damaged is what became of an echo request with a wrong checksum.
type damaged struct {
	Answered               []uint16
	InCsumErrors, InErrors int64 // growth
}

var _ = spec.Job(suite, "is silent to an echo request whose checksum is wrong, and counts it", check.Check{
	ID: "PING-007", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 792 (checksum); RFC 1122 3.2.2; RFC 4293 (icmpInErrors); Documentation/networking/snmp_counter.rst, IcmpInCsumErrors",
	Asks: "In a network namespace of its own, sends two echo requests to 127.0.0.1 over a raw socket: one with a wrong checksum, one with the right one. " +
		"The second alone must be answered, and the first be counted by Icmp InCsumErrors and InErrors.",
	Why: "ICMP carries the errors that end connections and shrink the path MTU. A stack that takes damaged messages lets a faulty card or driver do both, " +
		"and one that does not count them leaves nothing to find it by.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program or rule on the way that computes the checksum anew",
	},
	Remedies: []string{
		spec.OwnStack,
		"see what is counted: `nstat -az IcmpInCsumErrors IcmpInErrors`",
	},
}, sendDamaged, func(_ SpecContext, seen damaged) {
	spec.Evidence("echo requests", "answered: %v of 1 and 2; InCsumErrors grew by %d, InErrors by %d", seen.Answered, seen.InCsumErrors, seen.InErrors)
	Expect(seen.Answered).To(Equal([]uint16{2}), "echo requests that were answered, of which the checksum of the first was wrong")
	Expect(seen.InCsumErrors).To(BeEquivalentTo(1), "growth of Icmp InCsumErrors")
	Expect(seen.InErrors).To(BeEquivalentTo(1), "growth of Icmp InErrors")
})

func sendDamaged(ctx context.Context, _ *sandbox.Inside) (seen damaged, err error) {
	const id = 7
	t, err := openRaw(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer t.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	wrong := icmp.Message(echoRequest, 0, icmp.EchoBody(id, 1, []byte("is this whole?")))
	wrong[2] ^= 0x55
	if err := t.say(ctx, wrong); err != nil {
		return seen, err
	}
	if _, err := counted(ctx, before, "Icmp", "InMsgs", 1); err != nil {
		return seen, err
	}
	if err := exchange(ctx, t, id, 2, &seen.Answered); err != nil {
		return seen, err
	}
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	moved := after.Sub(before)
	if seen.InErrors, err = moved.Get("Icmp", "InErrors"); err != nil {
		return seen, err
	}
	seen.InCsumErrors, err = moved.Get("Icmp", "InCsumErrors")
	return seen, err
}
