package udp

import (
	"context"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// another is an address of lo that is not the one which the kernel prefers.
var another = netip.MustParseAddr("127.9.9.9")

var _ = suite.It("answers for a wildcard server from 127.0.0.1, unless it chooses", check.Check{
	ID: "UDP-016", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.BindToDevice},
	Source: "linux",
	Asks:   "Sends to 127.9.9.9, where a server that is bound to 0.0.0.0 on lo receives it. A plain answer must come from 127.0.0.1; one with IP_PKTINFO that names 127.9.9.9 must come from there.",
	Why:    "A connected client drops an answer that comes from another address than it asked. DNS, TFTP and VPN servers on machines with several addresses must use IP_PKTINFO, and tests of it on loopback rely on both.",
	Causes: []string{
		"a route of the table local prefers another source address (`ip route show table local`)",
		"a firewall rule translates addresses on lo",
		spec.OtherStack,
	},
	Remedies: []string{
		"`ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1`",
		"see which rule: `nft list ruleset | grep -E 'nat|daddr set|saddr set'`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, clientAddr := bound(sock.IPv4)
	server, addr := everywhereOnLo()
	ask(deadline, client, server, netip.AddrPortFrom(another, addr.Port()), clientAddr)
	for _, answer := range []struct {
		how  string
		send func() (int, error)
		from netip.Addr
	}{
		{"a plain answer", func() (int, error) { return server.SendTo(deadline, []byte("answer"), clientAddr, 0) }, clientAddr.Addr()},
		{"an answer with IP_PKTINFO", func() (int, error) { return server.SendFrom(deadline, []byte("answer"), another, clientAddr) }, another},
	} {
		Expect(answer.send()).To(Equal(len("answer")), "bytes of %s", answer.how)
		var who netip.AddrPort
		for who.Port() != addr.Port() { // strangers are left aside
			var err error
			_, who, err = client.RecvFrom(deadline, make([]byte, 64), 0)
			Expect(err).NotTo(HaveOccurred(), "%s to %v", answer.how, clientAddr)
		}
		Expect(who.Addr()).To(Equal(answer.from), "where %s comes from, to what was sent to %v", answer.how, another)
		spec.Evidence(answer.how, "came from %v", who)
	}
})

var _ = suite.It("tells the address that a datagram was sent to, and that it came in by lo", check.Check{
	ID: "UDP-019", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.BindToDevice},
	Source: "ip(7), IP_PKTINFO; RFC 1122 4.1.3.5",
	Asks:   "Sends to 127.9.9.9, where a socket with IP_PKTINFO that is bound to 0.0.0.0 on lo receives it. The control message must name 127.9.9.9 and the number of lo.",
	Why:    "Servers with several addresses answer by it from the one that was asked, and DHCP, mDNS and NTP servers learn on which network they were. With a wrong address clients drop the answer; with a wrong interface it goes out elsewhere.",
	Causes: []string{
		"a firewall rule translates the destination on lo (dnat, redirect, `ip daddr set`)",
		"an eBPF program (sendmsg4 on the cgroup, tc on lo) rewrites or redirects datagrams, as Cilium does",
		spec.OtherStack,
	},
	Remedies: []string{
		"find the rule: `nft list ruleset | grep -E 'dnat|redirect|daddr set'`, `iptables-save -t nat`, `bpftool net`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, clientAddr := bound(sock.IPv4)
	server, addr := everywhereOnLo()
	lo, err := server.InterfaceNumber("lo")
	Expect(err).NotTo(HaveOccurred())
	Expect(server.Set(sock.PacketInfo, 1)).To(Succeed())
	to := netip.AddrPortFrom(another, addr.Port())
	got := ask(deadline, client, server, to, clientAddr)
	Expect(got.Destination).To(Equal(another), "destination as IP_PKTINFO has it, of what was sent to %v", to)
	Expect(got.Interface).To(Equal(lo), "number of the interface as IP_PKTINFO has it, where that of lo is %d", lo)
	spec.Evidence("IP_PKTINFO", "destination %v, interface %d, which is lo", got.Destination, got.Interface)
})

// everywhereOnLo returns a socket on every address of lo, and of lo alone.
func everywhereOnLo() (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	s, err := sock.New(sock.UDP, sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	spec.BindToLo(s)
	Expect(s.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))).To(Succeed())
	addr, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return s, addr
}

// ask sends to an address of the server and returns what the server received.
func ask(ctx context.Context, client, server *sock.Socket, to, clientAddr netip.AddrPort) sock.Message {
	GinkgoHelper()
	spec.Flow("udp", netip.AddrPortFrom(to.Addr(), 0))
	question := []byte("question")
	Expect(client.SendTo(ctx, question, to, 0)).To(Equal(len(question)), "bytes sent to %v", to)
	for {
		m, err := server.RecvMessage(ctx, make([]byte, 64))
		Expect(err).NotTo(HaveOccurred(), "what was sent to %v", to)
		if m.From == clientAddr {
			return m
		}
	}
}
