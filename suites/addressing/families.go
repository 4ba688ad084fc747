package addressing

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const v6OnlySetting = "net.ipv6.bindv6only"

// mapped is 127.0.0.1 as a socket of IPv6 sees it (RFC 4291 2.5.5.2).
var mapped = netip.AddrFrom16(netip.AddrFrom4([4]byte{127, 0, 0, 1}).As16())

var _ = suite.It("serves IPv4 clients on a socket bound to [::]", check.Check{
	ID: "ADDR-001", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 3493 5.3 (IPV6_V6ONLY is off by default) and 3.7; ipv6(7); Documentation/networking/ip-sysctl.rst, bindv6only",
	Needs:  []check.Need{check.IPv6, check.BindToDevice},
	Asks:   "Binds sockets of IPv6 to the wildcard address [::] without setting IPV6_V6ONLY, on lo only, and reaches them from 127.0.0.1 and from ::1, over TCP and UDP. The IPv4 client must be seen as ::ffff:127.0.0.1.",
	Why:    "Most servers listen on [::] alone and count on it for both families: Java, Node.js, Apache, OpenSSH in many set-ups. Where it does not hold they start without an error and refuse every IPv4 client, 127.0.0.1 included.",
	Causes: []string{
		"net.ipv6.bindv6only is 1, which turns the default round for every program that does not set the option itself",
		"a firewall drops IPv4 on lo",
	},
	Remedies: []string{
		"`sysctl -w net.ipv6.bindv6only=0`, and the same in /etc/sysctl.d; then start the servers again",
		"where the setting is meant, have each server listen on 0.0.0.0 as well, and leave the check out: `loopcheck run --label-filter '!ADDR-001'`",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	v6Only := spec.Setting(v6OnlySetting)
	deadline := spec.Within(ctx, patience)
	listener := open(sock.TCP, sock.IPv6)
	spec.BindToLo(listener)
	at := bindAny(listener, netip.IPv6Unspecified())
	Expect(listener.Listen(8)).To(Succeed())
	receiver := open(sock.UDP, sock.IPv6)
	spec.BindToLo(receiver)
	receiverAt := bindAny(receiver, netip.IPv6Unspecified())

	for _, c := range []struct {
		family sock.Family
		seenAs netip.Addr
	}{{sock.IPv4, mapped}, {sock.IPv6, netip.IPv6Loopback()}} {
		spec.Flow("tcp", c.family.Loopback(0))
		spec.Flow("udp", c.family.Loopback(0))
		to := c.family.Loopback(at.Port())
		from := connectFrom(deadline, c.family, to, fmt.Sprintf("to tcp %v, where %v listens, with %s at %s", to, at, v6OnlySetting, v6Only))
		Expect(acceptedFrom(deadline, listener, from)).To(Equal(netip.AddrPortFrom(c.seenAs, from.Port())), "how the listener on %v sees its client %v", at, from)

		to = c.family.Loopback(receiverAt.Port())
		sender := open(sock.UDP, c.family)
		from = bindAny(sender, loopback(c.family))
		_, err := sender.SendTo(deadline, []byte("anybody?"), to, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(receivedFrom(deadline, receiver, from)).To(Equal(netip.AddrPortFrom(c.seenAs, from.Port())),
			"how the receiver on udp %v sees what was sent to %v, with %s at %s", receiverAt, to, v6OnlySetting, v6Only)
	}
	spec.Evidence("clients", "127.0.0.1 was seen as %v, ::1 as itself, over tcp and udp; %s is %s", mapped, v6OnlySetting, v6Only)
})

// acceptedFrom accepts the client's connection and says as whom it is seen.
// Somebody who scans the machine's ports may come first.
func acceptedFrom(ctx context.Context, listener *sock.Socket, client netip.AddrPort) (netip.AddrPort, error) {
	for {
		server, err := listener.Accept(ctx)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("the connection from %v: %w", client, err)
		}
		peer, err := server.PeerAddr()
		_ = server.Close()
		if err == nil && isSame(peer, client) {
			return peer, nil
		}
	}
}

// receivedFrom takes the client's datagram and says as whose it is seen.
func receivedFrom(ctx context.Context, receiver *sock.Socket, client netip.AddrPort) (netip.AddrPort, error) {
	for {
		_, peer, err := receiver.RecvFrom(ctx, make([]byte, 64), 0)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("the datagram from %v: %w", client, err)
		}
		if isSame(peer, client) {
			return peer, nil
		}
	}
}

func isSame(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Unmap() == b.Addr().Unmap()
}

var _ = suite.It("keeps listeners on 127.0.0.1 and ::1 apart", check.Check{
	ID: "ADDR-004", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2); RFC 9293 3.10.7.1 (a segment to a closed port is answered with RST)",
	Needs:  []check.Need{check.IPv6},
	Asks:   "Listens on a port of ::1, with the same port of 127.0.0.1 held closed, and then the other way round. The listener's own address must answer, the other refuse the connection.",
	Why:    "A program that listens on one of the two is meant to be reached by that one. Were the other answered as well, a second program could not have it, and rules made for one family would be walked around by way of the other.",
	Causes: []string{
		"a firewall drops the SYN or the RST that answers it, so that clients of the missing family hang and do not try the other",
		"a proxy, port forwarder or eBPF program (connect hook, sk_lookup) passes connections on to the other family",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"list the programs at the hooks: `bpftool cgroup tree`, `bpftool net`",
	},
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	deadline := spec.Within(ctx, patience)
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	spec.Flow("tcp", sock.IPv6.Loopback(0))
	for _, served := range []sock.Family{sock.IPv6, sock.IPv4} {
		silent := sock.IPv4
		if served == sock.IPv4 {
			silent = sock.IPv6
		}
		listener, _, port := onePort(loopback(served), loopback(silent))
		Expect(listener.Listen(1)).To(Succeed())
		at, not := served.Loopback(port), silent.Loopback(port)
		connectFrom(deadline, served, at, fmt.Sprintf("to the listener at %v", at))
		expectRefused(deadline, silent, not, fmt.Sprintf("a connection to %v, while only %v listens", not, at))
		spec.Evidence(fmt.Sprintf("listener at %v", at), "answered there; %v: %s", not, syscall.ECONNREFUSED)
	}
})

var _ = suite.It("refuses an address of the other family", check.Check{
	ID: "ADDR-010", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2), EINVAL; connect(2), EAFNOSUPPORT; ip(7)",
	Asks:   "Gives an IPv4 socket a sockaddr_in6, and an IPv6 socket a sockaddr_in, which is too short for it, to bind and to connect to. The first must be refused with EAFNOSUPPORT, the second with EINVAL. What connect does on a UDP socket of IPv6 is told and not judged: Linux takes the IPv4 peer there.",
	Why:    "Programs that try every address of a name tell by these errors that they hold the wrong kind of socket, and open another. A call that goes through in their place binds or connects to something that nobody asked for.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) that checks the address in another way",
		"a library put before the program (LD_PRELOAD) or an eBPF program at the cgroup's bind or connect hook that rewrites the address",
	},
	Remedies: []string{
		"run the program on the kernel's own stack",
		"list the programs at the hooks: `bpftool cgroup tree`",
	},
}, func(SpecContext) {
	v4, v6 := loopback(sock.IPv4), loopback(sock.IPv6)
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		// The discard port: were the call to go through, nothing would come of it.
		const discard = 9
		Expect(open(kind, sock.IPv4).Bind(netip.AddrPortFrom(v6, 0))).To(MatchError(syscall.EAFNOSUPPORT), "bind of a sockaddr_in6 on a %s socket of IPv4", kind)
		Expect(open(kind, sock.IPv4).StartConnect(netip.AddrPortFrom(v6, discard))).To(MatchError(syscall.EAFNOSUPPORT), "connect to a sockaddr_in6 on a %s socket of IPv4", kind)
		spec.Evidence(fmt.Sprintf("%s socket of IPv4", kind), "bind and connect to a sockaddr_in6: %s", syscall.EAFNOSUPPORT)

		s, err := sock.New(kind, sock.IPv6)
		if errors.Is(err, syscall.EAFNOSUPPORT) {
			spec.Evidence(fmt.Sprintf("%s socket of IPv6", kind), "not asked: %v", err)
			continue
		}
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(s.Close)
		Expect(s.Bind(netip.AddrPortFrom(v4, 0))).To(MatchError(syscall.EINVAL), "bind of a sockaddr_in on a %s socket of IPv6", kind)
		connectErr := s.StartConnect(netip.AddrPortFrom(v4, discard))
		if kind == sock.TCP {
			Expect(connectErr).To(MatchError(syscall.EINVAL), "connect to a sockaddr_in on a %s socket of IPv6", kind)
		}
		spec.Evidence(fmt.Sprintf("%s socket of IPv6", kind), "bind of a sockaddr_in: %s; connect: %s", syscall.EINVAL, outcome(connectErr))
	}
})

// outcome is the kernel's own word on a call.
func outcome(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}
