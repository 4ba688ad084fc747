package udp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("broadcasts only for sockets that ask to", check.Check{
	ID: "UDP-012", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_BROADCAST; send(2) and ip(7), EACCES; RFC 1122 3.2.1.3 (directed broadcast)",
	Asks:   "Sends a datagram to 127.255.255.255, the broadcast address of lo: without SO_BROADCAST that must give EACCES. With it, a socket that is bound there must receive it.",
	Why:    "The option keeps a mistaken address from reaching every machine of a network at once. Discovery protocols (DHCP, wake-on-LAN, games) set it and must be heard.",
	Causes: []string{
		"the broadcast route of lo is gone, or 127.0.0.1 has another prefix than /8 (`ip route show table local type broadcast`)",
		"a firewall drops broadcasts (`meta pkttype broadcast`, `fib daddr type broadcast`)",
		spec.OtherStack,
	},
	Remedies: []string{
		"`ip address del 127.0.0.1/8 dev lo` and `ip address add 127.0.0.1/8 dev lo` make the route anew",
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	everybody := netip.MustParseAddr("127.255.255.255")
	receiver, err := sock.New(sock.UDP, sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(receiver.Close)
	// From 127.0.0.1, no datagram leaves the machine.
	sender, senderAddr := bound(sock.IPv4)
	Expect(receiver.Bind(netip.AddrPortFrom(everybody, 0))).To(Succeed())
	to, err := receiver.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	spec.Flow("udp", netip.AddrPortFrom(everybody, 0))

	_, err = sender.SendTo(deadline, []byte("to everybody"), to, 0)
	Expect(err).To(MatchError(syscall.EACCES), "sending to %v without SO_BROADCAST", to)
	Expect(sender.Set(sock.Broadcast, 1)).To(Succeed())
	Expect(sender.SendTo(deadline, []byte("to everybody"), to, 0)).To(Equal(len("to everybody")), "bytes sent to %v with SO_BROADCAST", to)
	Expect(from(deadline, receiver, senderAddr)).To(Equal("to everybody"), "what was sent to %v with SO_BROADCAST", to)
	spec.Evidence("broadcast", "to %v: %s without SO_BROADCAST, received with it", to, syscall.EACCES)
})

// grouped is what became of datagrams to a multicast group.
type grouped struct {
	Undirected syscall.Errno // of a send without IP_MULTICAST_IF
	Received   []string      // of the others
}

const (
	directed   = "directed"
	notLooping = "not looping"
)

var _ = spec.Job(suite, "sends multicast over lo where a socket chooses lo, whatever IP_MULTICAST_LOOP says", check.Check{
	ID: "UDP-013", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux",
	Asks:   "In a network namespace with lo alone, joins 239.255.77.77 on lo and sends to it: without IP_MULTICAST_IF that must give ENETUNREACH, since nothing leads there; with 127.0.0.1 on lo chosen by it the datagram must be received, and with IP_MULTICAST_LOOP 0 as well, because what lo sends it also receives.",
	Why:    "Tests of multicast programs (service discovery, market data, cluster membership) run so on a machine without a network. Where it fails they need a network or are left out; where IP_MULTICAST_LOOP is trusted on lo, a program hears itself.",
	Causes: []string{
		"a user-space stack, or a kernel that treats multicast on lo in another way",
	},
	Remedies: []string{
		"give multicast a way by hand: `ip route add 239.0.0.0/8 dev lo`",
		"leave out by its sender what a program sent itself",
	},
}, askGroup, func(_ SpecContext, seen grouped) {
	spec.Evidence("multicast", "without IP_MULTICAST_IF: %v; received: %q", seen.Undirected, seen.Received)
	Expect(seen.Undirected).To(Equal(syscall.ENETUNREACH), "sending to a group without IP_MULTICAST_IF")
	Expect(seen.Received).To(Equal([]string{directed, notLooping}), "what was received of datagrams over lo, without and with IP_MULTICAST_LOOP 0")
})

func askGroup(ctx context.Context, _ *sandbox.Inside) (seen grouped, err error) {
	group := netip.MustParseAddr("239.255.77.77")
	receiver, to, err := boundInside(netip.AddrPortFrom(group, 0))
	if err != nil {
		return seen, err
	}
	defer receiver.Close()
	sender, senderAddr, err := boundInside(netip.MustParseAddrPort("0.0.0.0:0"))
	if err != nil {
		return seen, err
	}
	defer sender.Close()
	lo, err := receiver.InterfaceNumber("lo")
	if err != nil {
		return seen, err
	}
	if err := receiver.JoinGroup(group, lo); err != nil {
		return seen, err
	}
	_, err = sender.SendTo(ctx, []byte("undirected"), to, 0)
	if err != nil && !errors.As(err, &seen.Undirected) {
		return seen, err
	}
	if err := sender.SetMulticastInterface(lo, sock.IPv4.Loopback(0).Addr()); err != nil {
		return seen, err
	}
	source := netip.AddrPortFrom(sock.IPv4.Loopback(0).Addr(), senderAddr.Port())
	for _, text := range []string{directed, notLooping} {
		if text == notLooping {
			if err := sender.Set(sock.MulticastLoop, 0); err != nil {
				return seen, err
			}
		}
		if _, err := sender.SendTo(ctx, []byte(text), to, 0); err != nil {
			return seen, err
		}
		got, err := awaited(ctx, receiver, source)
		if err != nil {
			return seen, fmt.Errorf("the datagram to %v over lo, %s: %w", to, text, err)
		}
		seen.Received = append(seen.Received, got)
	}
	return seen, nil
}

// awaited is from with the patience of a spec.
func awaited(ctx context.Context, s *sock.Socket, sender netip.AddrPort) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return from(ctx, s, sender)
}
