package ping

import (
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("delivers packets with a TTL of 1 to itself, and refuses to send any with 0", check.Check{
	ID: "PING-017", Grade: check.GradeFail, OS: "linux",
	Source: "ip(7), IP_TTL; RFC 1122 3.2.1.7 (no host discards a packet for its TTL, and none sends one with 0)",
	Needs:  []check.Need{check.PingSocket},
	Asks:   "Sends an echo request with IP_TTL of 1 to 127.0.0.1, which must be answered. Setting IP_TTL to 0 must be refused with EINVAL, and leave it as it was.",
	Why: "BGP and BFD sessions, mDNS and other protocols of one link send with a TTL of 1, and run between programs of one machine as well; traceroute to it ends there. " +
		"A stack that counts the way over loopback as a hop keeps them from each other.",
	Causes: append([]string{
		"a netfilter rule drops packets with a low TTL, on lo too",
		spec.OtherStack,
	}, icmpCauses...),
	Remedies: icmpRemedies,
}, func(ctx SpecContext) {
	t := openHere(v4Loopback)
	seq := randomUint16()
	Expect(t.Set(sock.TTL, 1)).To(Succeed())
	Expect(t.Set(sock.TTL, 0)).To(MatchError(syscall.EINVAL), "setting IP_TTL to 0")
	Expect(t.Get(sock.TTL)).To(Equal(1), "IP_TTL after 0 was refused")
	spec.Evidence("IP_TTL of 0", "%s", syscall.EINVAL)

	deadline := spec.Within(ctx, replyTimeout)
	id := t.identifier(randomUint16())
	Expect(t.ask(deadline, id, seq)).To(Succeed(), "an echo request with IP_TTL of 1 to %v", v4Loopback)
	_, err := t.awaitEcho(deadline, id, seq)
	Expect(err).NotTo(HaveOccurred(), "an echo request with IP_TTL of 1 to %v", v4Loopback)
	spec.Evidence("IP_TTL of 1", "answered")
})

// openHere opens a socket of ICMP over IPv4 on the host, of the kind that is
// allowed, for echo requests to an address.
func openHere(to netip.Addr) talk {
	GinkgoHelper()
	open := openPing
	if access(to) == icmp.Raw {
		open = openRaw
	}
	t, err := open(sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(t.Close)
	return t
}

// identifier is what the socket's echo requests have, where asked for another.
func (t talk) identifier(asked uint16) uint16 {
	GinkgoHelper()
	if t.raw {
		return asked
	}
	Expect(t.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))).To(Succeed())
	at, err := t.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return at.Port()
}
