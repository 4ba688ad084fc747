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
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// wireSource is what a send from an address to the neighbour came to.
type wireSource struct {
	Kind  sock.Kind
	From  netip.Addr
	Errno syscall.Errno
}

var wireSendFrom = sandbox.Register("addressing/wire-source", wireSendFromHere)

var _ = suite.It("refuses to send from 127.0.0.0/8 to another machine", check.Check{
	ID: "ADDR-016", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, wireVeth, check.OwnSettings},
	Source: "RFC 1122 3.2.1.3 (g) (127.0.0.0/8 must not appear outside a host); Documentation/networking/ip-sysctl.rst, route_localnet; linux, net/ipv4/route.c, __mkroute_output",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour, with net.ipv4.conf.*.route_localnet at 0, binds sockets to 127.0.0.1 and 127.9.9.9 and sends to the neighbour, over UDP and TCP. Each must be refused with EINVAL; from the address of eth0 a datagram must go out.",
	Why:    "A program that binds its client socket to 127.0.0.1 by mistake is told at once instead of waiting for answers that cannot come. And neighbours never see packets that pose as their own loopback traffic.",
	Causes: []string{
		wireForeignStack,
		"an eBPF program at the cgroup's connect or sendmsg hook that rewrites addresses",
	},
	Remedies: []string{wireHostsKernel, wireLookForCode},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	box := theWire.Use(ctx, wireVeth)
	tries, err := wireSendFrom.Call(spec.Within(ctx, patience), box, wireMachine, struct{}{})
	if err != nil {
		theWire.Drop()
	}
	wireSkip(wireSeen{}, err)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "send to a neighbour")
	for _, t := range tries {
		spec.Evidence(fmt.Sprintf("%s from %v", t.Kind, t.From), "%s", t.outcome())
		want := wireSource{Kind: t.Kind, From: t.From}
		if t.From.IsLoopback() {
			want.Errno = syscall.EINVAL
		}
		Expect(t.outcome()).To(Equal(want.outcome()), "sending over %s from %v to %v, another machine", t.Kind, t.From, wireOther.Addr())
	}
})

func (s wireSource) outcome() string {
	if s.Errno == 0 {
		return "it was sent"
	}
	return s.Errno.Error()
}

func wireSendFromHere(ctx context.Context, _ *sandbox.Inside, _ struct{}) (tries []wireSource, err error) {
	for _, of := range []string{"all", wireCard} {
		if err := sysctl.Set("net.ipv4.conf."+of+".route_localnet", "0"); err != nil {
			return nil, err
		}
	}
	for _, t := range []wireSource{
		{Kind: sock.UDP, From: sock.IPv4.Loopback(0).Addr()},
		{Kind: sock.UDP, From: netip.AddrFrom4([4]byte{127, 9, 9, 9})},
		{Kind: sock.TCP, From: sock.IPv4.Loopback(0).Addr()},
		{Kind: sock.UDP, From: wireOwn.Addr()},
	} {
		s, err := sock.New(t.Kind, sock.IPv4)
		if err != nil {
			return tries, err
		}
		if err := s.Bind(netip.AddrPortFrom(t.From, 0)); err != nil {
			return tries, errors.Join(err, s.Close())
		}
		t.Errno, err = errnoOf(wireSendOnce(ctx, s, t.Kind))
		if err := errors.Join(err, s.Close()); err != nil {
			return tries, err
		}
		tries = append(tries, t)
	}
	return tries, nil
}

// wireSendOnce sends the neighbour a datagram, or asks them for a connection and
// does not wait for it.
func wireSendOnce(ctx context.Context, s *sock.Socket, kind sock.Kind) error {
	to := netip.AddrPortFrom(wireOther.Addr(), wirePort)
	if kind == sock.UDP {
		_, err := s.SendTo(ctx, []byte("anybody?"), to, 0)
		return err
	}
	if err := s.StartConnect(to); !errors.Is(err, syscall.EINPROGRESS) {
		return err
	}
	return nil
}

var _ = suite.It("drops what comes from the network with an address of 127.0.0.0/8, and counts it as martian", check.Check{
	ID: "ADDR-017", Grade: check.GradeFail, OS: "linux", Needs: wireNeeds,
	Source: "RFC 1122 3.2.1.3 (g); RFC 1812 5.3.7 (martian addresses); Documentation/networking/ip-sysctl.rst, route_localnet, log_martians; linux, net/ipv4/route.c, ip_route_input_slow",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour, with route_localnet and rp_filter at 0, has the neighbour send datagrams that come from 127.0.0.1 and that are for 127.0.0.1, to a port where a socket on 0.0.0.0 receives. Neither may arrive; in_martian_src and in_martian_dst of /proc/net/stat/rt_cache must grow (they are the whole machine's, so by at least 1). What the neighbour sends with its own address must arrive.",
	Why:    "Servers on 127.0.0.1 ask for no password, and many others trust what comes from there. That the network can neither reach that address nor pose as it is the one thing that protects them.",
	Causes: []string{
		wireForeignStack, wireForeignCode,
	},
	Remedies: []string{
		wireHostsKernel, wireLookForCode,
		"until then keep such packets out: `nft add table ip guard`, `nft add chain ip guard pre '{ type filter hook prerouting priority raw; }'`, `nft add rule ip guard pre iifname != lo ip saddr 127.0.0.0/8 drop`, `nft add rule ip guard pre iifname != lo ip daddr 127.0.0.0/8 drop`",
	},
}, func(ctx SpecContext) {
	home := sock.IPv4.Loopback(0).Addr()
	plan := wirePlan{
		At: netip.IPv4Unspecified(),
		Send: []wireDatagram{
			wireFrom(home, wireOwn.Addr(), "from 127.0.0.1"),
			wireFrom(wireOther.Addr(), home, "for 127.0.0.1"),
			wireControl(sock.IPv4),
		},
		Counted: map[string]int64{wireMartianSources: 1, wireMartianDestinations: 1},
	}
	expectWire(ctx, plan, "addresses of 127.0.0.0/8 on the wire")
})

var _ = suite.It("drops what comes from the network with its own address as source, unless accept_local is on", check.Check{
	ID: "ADDR-023", Grade: check.GradeFail, OS: "linux", Needs: wireNeeds,
	Source: "Documentation/networking/ip-sysctl.rst, accept_local; RFC 1812 5.3.7; linux, net/ipv4/fib_frontend.c, fib_validate_source",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour, with rp_filter at 0, has the neighbour send a datagram that comes from the very address of eth0 which it goes to. With net.ipv4.conf.eth0.accept_local at 0 it must not arrive and in_martian_src must grow, with 1 it must arrive.",
	Why:    "Rules and programs that trust the machine's own addresses, as pg_hba.conf, NFS exports and cluster nodes do, would take a neighbour for the machine itself. Load balancers with direct return and tests that loop a cable back need the setting to work.",
	Causes: []string{
		wireForeignStack, wireForeignCode,
	},
	Remedies: []string{
		wireHostsKernel, wireLookForCode,
		"see the setting of the machine itself: `sysctl -ar 'ipv4.conf.*.accept_local'`, and set it to 0 where nothing needs it: `sysctl -w net.ipv4.conf.all.accept_local=0`",
	},
}, func(ctx SpecContext) {
	own := wireFrom(wireOwn.Addr(), wireOwn.Addr(), "from the machine's own address")
	closed := wirePlan{
		At:      netip.IPv4Unspecified(),
		Send:    []wireDatagram{own, wireControl(sock.IPv4)},
		Counted: map[string]int64{wireMartianSources: 1},
	}
	expectWire(ctx, closed, "with accept_local at 0")
	open := wirePlan{
		Settings: map[string]string{"net.ipv4.conf." + wireCard + ".accept_local": "1"},
		At:       netip.IPv4Unspecified(),
		Send:     []wireDatagram{own.arriving(), wireControl(sock.IPv4)},
	}
	expectWire(ctx, open, "with accept_local at 1")
})
