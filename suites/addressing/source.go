package addressing

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("sends to every address of 127/8 from 127.0.0.1", check.Check{
	ID: "ADDR-012", Grade: check.GradeWarn, OS: "linux",
	Source: "linux (the source of the local route to 127.0.0.0/8); RFC 1122 3.2.1.3 (g)",
	Asks:   "Connects to listeners at 127.0.0.1 and 127.1.1.1 without choosing a source. The client's own address must be 127.0.0.1, and the server must see its connection come from there.",
	Why:    "Servers that let local clients in without a password go by the address that they see (PostgreSQL's pg_hba.conf, Redis' protected mode, sudo rules, proxies' allow lists). With another source they refuse, or let in what they should not.",
	Causes: []string{
		"a firewall translates the source of what goes over lo (snat, masquerade)",
		"a route of the local table has a source of its own",
	},
	Remedies: []string{
		"look for `snat` and `masquerade` in `nft list ruleset`, or `iptables -t nat -vnL POSTROUTING`, and except `oifname lo`",
		"`ip route show table local`; `ip route replace local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	home := loopback(sock.IPv4)
	for _, addr := range []netip.Addr{home, netip.AddrFrom4([4]byte{127, 1, 1, 1})} {
		listener := open(sock.TCP, sock.IPv4)
		at := bindAny(listener, addr)
		Expect(listener.Listen(1)).To(Succeed())
		spec.Flow("tcp", netip.AddrPortFrom(addr, 0))
		client := open(sock.TCP, sock.IPv4)
		Expect(client.SetLinger(0)).To(Succeed())
		Expect(client.Connect(deadline, at)).To(Succeed(), "a connection to %v", at)
		own, err := client.LocalAddr()
		Expect(err).NotTo(HaveOccurred())
		Expect(own.Addr()).To(Equal(home), "the source that a client of %v is given", at)
		server, err := listener.Accept(deadline)
		Expect(err).NotTo(HaveOccurred(), "the connection from %v to %v", own, at)
		DeferCleanup(server.Close)
		peer, err := server.PeerAddr()
		Expect(err).NotTo(HaveOccurred())
		// Somebody who scans the machine may have come first; what came from
		// elsewhere is looked at all the same.
		Expect(peer.Addr()).To(Equal(home), "where the server at %v sees its client %v come from", at, own)
		spec.Evidence(addr.String(), "the client is %v, the server sees %v", own, peer)
	}
})
