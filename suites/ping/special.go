package ping

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	probing "github.com/prometheus-community/pro-bing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("answers an echo request to 127.0.0.0, the first address of 127.0.0.0/8", check.Check{
	ID: "PING-003", Grade: check.GradeFail, OS: "linux", Kernels: check.Kernels{First: "5.14"},
	Source: "Linux 5.14: tools/testing/selftests/net/unicast_extensions.sh (the lowest address of a network is an address as any other)",
	Needs:  []check.Need{check.PingSocket},
	Asks: "pro-bing and a probe beside it send echo requests to 127.0.0.0 and expect the replies from that address. " +
		"Before Linux 5.14 it was a second broadcast address of the network.",
	Why: "Test rigs and clusters on one machine count through 127.0.0.0/8 from its beginning, and networks of two addresses (/31) use their lowest one. " +
		"Where it is taken for a broadcast address, sending to it is refused.",
	Causes: append([]string{
		"lo holds another prefix than 127.0.0.1/8, or the local table has 127.0.0.0 as a broadcast address",
	}, icmpCauses...),
	Remedies: append([]string{
		"ip route del broadcast 127.0.0.0 dev lo table local, where `ip route show table local` has it",
		"ip address replace 127.0.0.1/8 dev lo",
	}, icmpRemedies...),
}, func(ctx SpecContext) {
	first := netip.AddrFrom4([4]byte{127, 0, 0, 0})
	via := access(first)
	stats := proBing(ctx, first, via, func(p *probing.Pinger) { p.Count = 1 })
	Expect(stats.PacketsRecv).To(Equal(1), "replies that pro-bing received from %v", first)

	reply := expectEcho(ctx, first, via, 64)
	spec.Evidence("reply", "type %d code %d from %v", reply.Type, reply.Code, reply.From)
	Expect(reply.Type).To(Equal(echoReply), "type of the reply from %v", first)
	Expect(reply.From).To(Equal(first), "source of the reply to an echo request to %v", first)
})

const ignoreBroadcasts = "net.ipv4.icmp_echo_ignore_broadcasts"

var _ = suite.It("sends echo requests to 127.255.255.255 for who asks for broadcasts, and does not answer them", check.Check{
	ID: "PING-004", Grade: check.GradeFail, OS: "linux",
	Source: "Documentation/networking/ip-sysctl.rst, icmp_echo_ignore_broadcasts; socket(7), SO_BROADCAST; ip(7), EACCES; RFC 1122 3.2.2.6",
	Needs:  []check.Need{check.PingSocket},
	Asks: "Sends an echo request to 127.255.255.255, the broadcast address of lo: without SO_BROADCAST it must be refused with EACCES. With it three are sent, and then one to 127.0.0.1: only that may be answered. " +
		"Where net.ipv4.icmp_echo_ignore_broadcasts is 0, the others must be answered, too.",
	Why: "A machine that answers broadcast pings multiplies what an attacker sends with a forged source (smurf). " +
		"And a program that pings what it takes for a host must be told that it is a whole network.",
	Causes: append([]string{
		"lo holds another prefix than 127.0.0.1/8, or the local table lacks broadcast 127.255.255.255",
		spec.OtherStack,
	}, icmpCauses...),
	Remedies: append([]string{
		"ip route add broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1",
		"sysctl -w net.ipv4.icmp_echo_ignore_broadcasts=1",
	}, icmpRemedies...),
}, func(ctx SpecContext) {
	const shouts = 3
	everybody := netip.AddrFrom4([4]byte{127, 255, 255, 255})
	t := openHere(everybody)
	spec.Flow("icmp", netip.AddrPortFrom(v4Loopback, 0))
	deadline := spec.Within(ctx, replyTimeout)
	id := t.identifier(randomUint16())
	shout := func(seq uint16) error {
		message := icmp.Message(echoRequest, 0, icmp.EchoBody(id, seq, []byte("is anybody there?")))
		_, err := t.SendTo(deadline, message, netip.AddrPortFrom(everybody, 0), 0)
		return err
	}
	Expect(shout(0)).To(MatchError(syscall.EACCES), "an echo request to %v without SO_BROADCAST", everybody)
	spec.Evidence("without SO_BROADCAST", "%s", syscall.EACCES)

	ignored := setting(ignoreBroadcasts, 1) != 0
	Expect(t.Set(sock.Broadcast, 1)).To(Succeed())
	var seqs []uint16
	for seq := uint16(1); seq <= shouts; seq++ {
		Expect(shout(seq)).To(Succeed(), "an echo request to %v with SO_BROADCAST", everybody)
		if !ignored {
			all, err := t.awaitEcho(deadline, id, seq)
			Expect(err).NotTo(HaveOccurred(), "an echo request to %v, where %s is 0", everybody, ignoreBroadcasts)
			seqs = append(seqs, answered(all, id)...)
		}
	}
	Expect(t.ask(deadline, id, shouts+1)).To(Succeed())
	all, err := t.awaitEcho(deadline, id, shouts+1)
	Expect(err).NotTo(HaveOccurred(), "an echo request to %v after %d to %v", v4Loopback, shouts, everybody)
	seqs = append(seqs, answered(all, id)...)
	if now := setting(ignoreBroadcasts, 1) != 0; now != ignored {
		spec.Inconclusive("%s was changed meanwhile", ignoreBroadcasts)
	}
	broadcasts := slices.DeleteFunc(seqs, func(seq uint16) bool { return seq > shouts })
	spec.Evidence("with SO_BROADCAST", "%d of %d echo requests were answered", len(broadcasts), shouts)
	if ignored {
		Expect(broadcasts).To(BeEmpty(), "echo requests to %v that were answered, where %s is 1", everybody, ignoreBroadcasts)
		return
	}
	Expect(fmt.Sprint(broadcasts)).To(Equal("[1 2 3]"), "echo requests to %v that were answered, where %s is 0", everybody, ignoreBroadcasts)
})
