package udp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("cuts one send into datagrams of the size that UDP_SEGMENT says", check.Check{
	ID: "UDP-015", Grade: check.GradeFail, OS: "linux",
	Source: "udp(7), UDP_SEGMENT; tools/testing/selftests/net/udpgso.c",
	Asks:   "Sends 3,500 bytes at once over 127.0.0.1 on a socket whose UDP_SEGMENT is 1,000. They must arrive in order as three datagrams of 1,000 bytes and one of 500, unchanged.",
	Why:    "QUIC (HTTP/3) and WireGuard send so, and are several times slower without it. Where the bytes arrive uncut or not at all, their connections over loopback, as between a proxy and its backend, never come about.",
	Causes: []string{
		"a firewall drops long packets before they are cut (`meta length`)",
		"checksum or segmentation offload of lo was switched off (`ethtool -k lo`)",
		"a user-space stack, or a kernel before 4.18, that has no UDP_SEGMENT",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"`ethtool -K lo tx on tx-udp-segmentation on`",
		"switch it off in the program: QUIC_GO_DISABLE_GSO=true for quic-go",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	sender, receiver := pair(sock.IPv4)
	const total, size = 3500, 1000
	err := sender.Set(sock.Segment, size)
	if errors.Is(err, syscall.ENOPROTOOPT) {
		spec.Skip(check.Need{Name: "UDP_SEGMENT", How: "run it on Linux 4.18 or later"}, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	sent := contents(uint64(GinkgoRandomSeed()), 0, total)
	Expect(sender.Send(deadline, sent, 0)).To(Equal(total), "bytes sent at once with UDP_SEGMENT %d", size)
	var lengths []int
	buf := make([]byte, total+1)
	for at := 0; at < total; {
		n, err := receiver.Recv(deadline, buf, 0)
		Expect(err).NotTo(HaveOccurred(), "what follows after datagrams of %v of %d bytes with UDP_SEGMENT %d", lengths, total, size)
		lengths = append(lengths, n)
		Expect(n).To(Equal(min(size, total-at)), "length of datagram %d of %d bytes with UDP_SEGMENT %d", len(lengths), total, size)
		Expect(bytes.Equal(buf[:n], sent[at:at+n])).To(BeTrueBecause("datagram %d of %d bytes was not sent so", len(lengths), n))
		at += n
	}
	spec.Evidence("datagrams", "%d bytes arrived as %v", total, lengths)
})

var _ = suite.It("gives the last of two sockets on one SO_REUSEADDR port what arrives", check.Check{
	ID: "UDP-017", Grade: check.GradeWarn, OS: "linux",
	Source: "linux",
	Asks:   "Binds two sockets with SO_REUSEADDR to the same port of 127.0.0.1 and sends to it. The one that was bound last must receive all of it.",
	Why:    "With the option any process of the same kind can take a port over while the first still runs and hears nothing any more: two copies of a service that both seem to be up. Restarts without a gap are built on it.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program (sk_lookup) chooses the socket",
		datagramsDropped,
	},
	Remedies: []string{
		"see who shares a port: `ss -uanp`",
		"use SO_REUSEPORT where several sockets are meant to share a port, and neither where not",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	sockets, addr := sharing(sock.ReuseAddr, 2)
	sender, senderAddr := bound(sock.IPv4)
	const times = 3
	for i := range times {
		text := fmt.Sprintf("%d from %v", i, senderAddr)
		Expect(sender.SendTo(deadline, []byte(text), addr, 0)).To(Equal(len(text)), "bytes sent to %v", addr)
		who, err := whoReceives(deadline, text, sockets...)
		Expect(err).NotTo(HaveOccurred(), "what was sent to %v", addr)
		Expect(who).To(Equal(1), "which of the sockets 0 and 1 on %v, in the order of their bind, received it", addr)
	}
	spec.Evidence("received", "%d datagrams to %v, all by the socket that was bound last", times, addr)
})

var _ = suite.It("spreads flows over the sockets of a SO_REUSEPORT group, each to one", check.Check{
	ID: "UDP-018", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_REUSEPORT; gVisor, UdpPortReuseMultiThread",
	Asks:   "Binds four sockets with SO_REUSEPORT to one port of 127.0.0.1 and sends to it from 128 ports, twice each. Both datagrams of a sender must reach the same socket, and each of the four must receive some.",
	Why:    "DNS and QUIC servers and statsd spread their load over processors so. Where all goes to one socket, the other workers are idle and the one loses datagrams; where the two halves of a flow part, QUIC connections break.",
	Causes: []string{
		"a firewall rule or proxy gives all senders the same source port on lo",
		"an eBPF program (SO_ATTACH_REUSEPORT_EBPF, sk_lookup) chooses the socket",
		spec.OtherStack,
	},
	Remedies: []string{
		"see who shares the port and what each lost: `ss -uanmp`",
		"look for rules: `nft list ruleset | grep -E 'sport set|masquerade|snat'`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	spec.Flow("udp", sock.IPv4.Loopback(0))
	// That one of four stays empty by chance has a probability below 1e-15
	// with so many ports, and below 1e-7 with enough.
	const members, flows, enough = 4, 128, 64
	sockets, addr := sharing(sock.ReusePort, members)
	received := make([]int, members)
	senders := map[netip.AddrPort]bool{}
	for range flows {
		who, sender, err := sendTwice(deadline, addr, sockets)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "what %v sent to %v", sender, addr)
		Expect(who[1]).To(Equal(who[0]), "which of %d sockets on %v received the second datagram of %v", members, addr, sender)
		received[who[0]]++
		senders[sender] = true
	}
	spec.Evidence("received", "%d flows to %v from %d ports, by socket: %v", flows, addr, len(senders), received)
	if slices.Contains(received, 0) && len(senders) < enough {
		spec.Inconclusive("%d flows came from %d ports only: net.ipv4.ip_local_port_range is small", flows, len(senders))
	}
	Expect(received).NotTo(ContainElement(0), "flows that each of %d sockets on %v received", members, addr)
})

// sendTwice sends two datagrams from a port of its own, one after the other
// has been received, and says which of the sockets received each.
func sendTwice(ctx context.Context, to netip.AddrPort, sockets []*sock.Socket) (who [2]int, sender netip.AddrPort, err error) {
	s, sender, err := boundInside(sock.IPv4.Loopback(0))
	if err != nil {
		return who, sender, err
	}
	defer s.Close()
	for i := range who {
		text := fmt.Sprintf("%d from %v", i, sender)
		if _, err = s.SendTo(ctx, []byte(text), to, 0); err != nil {
			return who, sender, err
		}
		if who[i], err = whoReceives(ctx, text, sockets...); err != nil {
			return who, sender, err
		}
	}
	return who, sender, nil
}

// sharing returns sockets that are bound to one port of 127.0.0.1, in order,
// because each has the option.
func sharing(option sock.Option, n int) ([]*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	addr := sock.IPv4.Loopback(0)
	var sockets []*sock.Socket
	for range n {
		s, err := sock.New(sock.UDP, sock.IPv4)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(s.Close)
		Expect(s.Set(option, 1)).To(Succeed())
		Expect(s.Bind(addr)).To(Succeed(), "bind socket %d of %d with %s", len(sockets)+1, n, option)
		addr, err = s.LocalAddr()
		Expect(err).NotTo(HaveOccurred())
		sockets = append(sockets, s)
	}
	return sockets, addr
}
