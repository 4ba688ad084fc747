package udp

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// verified is what became of datagrams with checksums of all kinds.
type verified struct {
	Arrived                []string
	InErrors, InCsumErrors int64 // growth
}

const (
	wrongChecksum = "wrong checksum"
	noChecksum    = "no checksum"
	rightChecksum = "right checksum"
)

var _ = spec.Job(suite, "discards datagrams whose checksum is wrong, and takes those without one", check.Check{
	ID: "UDP-014", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 768 (checksum; all zeros says that there is none); RFC 1122 4.1.3.4; RFC 4113 (udpInErrors)",
	Asks:   "In a network namespace of its own, sends three datagrams over a raw socket: with a wrong checksum, with 0 in its place, and with the right one. The last two must arrive, the first must be counted by Udp InCsumErrors and InErrors and not delivered.",
	Why:    "The checksum is all that keeps a damaged datagram from a program: DNS answers, metrics and video frames have nothing else. Tunnels (VXLAN, GENEVE) send none over IPv4 and stop where it is asked of them.",
	Causes: []string{
		"a kernel or user-space stack that does not verify checksums, or does not count",
	},
	Remedies: []string{
		"update the kernel, and report it to whoever made this one",
		"see what is counted: `nstat -az UdpInCsumErrors UdpInErrors`",
	},
}, sendChecksums, func(_ SpecContext, seen verified) {
	spec.Evidence("datagrams", "arrived: %q; InCsumErrors grew by %d, InErrors by %d", seen.Arrived, seen.InCsumErrors, seen.InErrors)
	Expect(seen.Arrived).To(Equal([]string{noChecksum, rightChecksum}), "what arrived of datagrams with a wrong checksum, none and the right one")
	Expect(seen.InCsumErrors).To(BeEquivalentTo(1), "growth of Udp InCsumErrors")
	Expect(seen.InErrors).To(BeEquivalentTo(1), "growth of Udp InErrors")
})

func sendChecksums(ctx context.Context, _ *sandbox.Inside) (seen verified, err error) {
	receiver, to, err := boundInside(sock.IPv4.Loopback(0))
	if err != nil {
		return seen, err
	}
	defer receiver.Close()
	sender, source, err := boundInside(sock.IPv4.Loopback(0))
	if err != nil {
		return seen, err
	}
	defer sender.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	for _, d := range []struct {
		text     string
		checksum func(uint16) uint16
	}{
		// Another in two bits, and not 0, which would say that there is none.
		{wrongChecksum, func(right uint16) uint16 { return right ^ 0x0101 | 0x1000 }},
		{noChecksum, func(uint16) uint16 { return 0 }},
		{rightChecksum, func(right uint16) uint16 { return right }},
	} {
		if err := sock.ForgeUDP(source, to, []byte(d.text), d.checksum); err != nil {
			return seen, err
		}
	}
	for len(seen.Arrived) == 0 || seen.Arrived[len(seen.Arrived)-1] != rightChecksum {
		text, err := awaited(ctx, receiver, source)
		if err != nil {
			return seen, err
		}
		seen.Arrived = append(seen.Arrived, text)
	}
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	moved := after.Sub(before)
	if seen.InErrors, err = moved.Get("Udp", "InErrors"); err != nil {
		return seen, err
	}
	seen.InCsumErrors, err = moved.Get("Udp", "InCsumErrors")
	return seen, err
}
