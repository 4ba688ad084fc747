package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	ethernetMTU = 1500
	longPayload = 8000
	// longFragments is how many packets of 1,500 bytes it takes: each has 20
	// bytes of header, and all but the last carry a multiple of 8.
	longFragments = (8 + longPayload + 1479) / 1480
	// neverFragment is IP_PMTUDISC_DO (ip(7), IP_MTU_DISCOVER).
	neverFragment = 2
)

// Counters of fragments (RFC 4293, ipSystemStatsOutFragCreates and others).
var (
	fragCreates = counter{"Ip", "FragCreates"}
	fragOKs     = counter{"Ip", "FragOKs"}
	reasmOKs    = counter{"Ip", "ReasmOKs"}
)

// fragmented is what became of a datagram longer than the MTU.
type fragmented struct {
	Arrived                    int // its bytes
	Wrong                      string
	Created, Whole, Reassembed int64
	// Refused is what a send gives that must not be cut up, and Cut how many
	// fragments it caused.
	Refused syscall.Errno
	Cut     int64
}

var _ = spec.Job(suite, "cuts a datagram into fragments that fit the MTU, and refuses it where DF is set", check.Check{
	ID: "LIM-007", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 791 3.2 (fragmentation); ip(7), IP_MTU_DISCOVER; udp(7), EMSGSIZE; RFC 4293, ipSystemStatsOutFragCreates",
	Asks:   "In a network namespace of its own, sends 8,000 bytes over UDP with lo's MTU at 1,500: they must arrive, cut into six fragments and put together again (Ip FragCreates, FragOKs, ReasmOKs). With IP_MTU_DISCOVER at IP_PMTUDISC_DO the same send must give EMSGSIZE and send nothing.",
	Why:    "DNS, NFS, syslog and video over UDP send more than a packet holds. Where the pieces do not come together the messages vanish by their size alone; without EMSGSIZE, programs that look for the path's MTU (QUIC, VPNs) never find it.",
	Causes: []string{
		"a firewall drops fragments (`ip frag-off`, or a port match, which only the first of them has)",
		"net.ipv4.ipfrag_high_thresh is 0 or used up",
		spec.OtherStack,
	},
	Remedies: []string{
		"`nft list ruleset | grep frag-off`, `nstat -az IpReasmReqds IpReasmFails IpFragFails`",
		"`sysctl -w net.ipv4.ipfrag_high_thresh=4194304`, the kernel's default",
		spec.OwnStack,
	},
}, fragment, func(_ SpecContext, seen fragmented) {
	spec.Evidence("datagram", "%d bytes over an MTU of %d: %d fragments, %d bytes arrived; with DF: %s", longPayload, ethernetMTU, seen.Created, seen.Arrived, seen.Refused)
	Expect(seen.Wrong).To(BeEmpty(), "what arrived of %d bytes over an MTU of %d", longPayload, ethernetMTU)
	Expect(seen.Created).To(BeEquivalentTo(longFragments), "growth of %s with %d bytes over an MTU of %d", fragCreates, longPayload, ethernetMTU)
	Expect(seen.Whole).To(BeEquivalentTo(1), "growth of %s with one datagram that was cut up", fragOKs)
	Expect(seen.Reassembed).To(BeEquivalentTo(1), "growth of %s with one datagram that was cut up", reasmOKs)
	Expect(seen.Refused).To(Equal(syscall.EMSGSIZE), "what a send of %d bytes gives with IP_PMTUDISC_DO and an MTU of %d", longPayload, ethernetMTU)
	Expect(seen.Cut).To(BeZero(), "growth of %s with a datagram that must not be cut up", fragCreates)
})

func fragment(ctx context.Context, _ *sandbox.Inside) (seen fragmented, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := iface.SetMTU("lo", ethernetMTU); err != nil {
		return seen, err
	}
	sender, receiver, err := datagramPair(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer sender.Close()
	defer receiver.Close()
	payload := make([]byte, longPayload)
	if _, err := io.ReadFull(pattern(0), payload); err != nil {
		return seen, err
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	if _, err := sender.Send(ctx, payload, 0); err != nil {
		return seen, err
	}
	buf := make([]byte, longPayload+1)
	if seen.Arrived, err = receiver.Recv(ctx, buf, 0); err != nil {
		return seen, fmt.Errorf("%d bytes over an MTU of %d: %w", longPayload, ethernetMTU, err)
	}
	if err := (&comparison{want: pattern(0)}).take(buf[:seen.Arrived]); err != nil {
		seen.Wrong = err.Error()
	} else if seen.Arrived != longPayload {
		seen.Wrong = fmt.Sprintf("%d bytes", seen.Arrived)
	}
	between, err := counters.Read()
	if err != nil {
		return seen, err
	}
	var first, second, third, fourth error
	moved := between.Sub(before)
	seen.Created, first = moved.Get(fragCreates.group, fragCreates.name)
	seen.Whole, second = moved.Get(fragOKs.group, fragOKs.name)
	seen.Reassembed, third = moved.Get(reasmOKs.group, reasmOKs.name)
	if err := errors.Join(first, second, third, sender.Set(sock.MTUDiscover, neverFragment)); err != nil {
		return seen, err
	}
	_, err = sender.TrySend(payload, 0)
	if seen.Refused, err = errnoOf(err); err != nil {
		return seen, err
	}
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	seen.Cut, fourth = after.Sub(between).Get(fragCreates.group, fragCreates.name)
	return seen, fourth
}

// Least MTUs of IPv6 and IPv4 (RFC 8200 5; RFC 791 3.2).
const (
	leastMTU6 = 1280
	leastMTU4 = 68
)

// reach says which loopback addresses can be bound with an MTU of lo, 0 where
// they can.
type reach struct {
	MTU    int
	V4, V6 syscall.Errno
}

var _ = spec.Job(suite, "takes ::1 off lo below an MTU of 1,280, and 127.0.0.1 below 68, no sooner", check.Check{
	ID: "LIM-008", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 8200 5 (1,280 octets or greater); RFC 791 3.2 (68 octets); linux, net/ipv6/addrconf.c, addrconf_notify and net/ipv4/devinet.c, inetdev_event",
	Asks:   "In a network namespace of its own, lowers lo's MTU to 1,280, 1,279, 68 and 67 and binds both loopback addresses each time. ::1 must be there at 1,280 and gone at 1,279, with 127.0.0.1 still there; that must be there at 68 and gone at 67.",
	Why:    "An MTU of 1,200 that was meant for a tunnel, set on all interfaces, takes IPv6 off lo: servers on [::1] go on without a client, and raising the MTU does not bring the address back. Who knows the two limits finds that at once.",
	Causes: []string{
		spec.OtherStack,
		"a program that gives lo its addresses back",
	},
	Remedies: []string{
		spec.OwnStack,
		"to give lo back what a low MTU took: `ip link set dev lo mtu 65536`, `ip address add ::1/128 dev lo`, `ip address add 127.0.0.1/8 dev lo`",
	},
}, func(_ context.Context, _ *sandbox.Inside) (seen []reach, err error) {
	bind := func() (r reach, err error) {
		var v6 error
		r.V4, err = bindErrno(sock.IPv4)
		r.V6, v6 = bindErrno(sock.IPv6)
		return r, errors.Join(err, v6)
	}
	first, err := bind()
	if err != nil {
		return nil, err
	}
	if first.MTU, err = iface.MTU("lo"); err != nil {
		return nil, err
	}
	seen = append(seen, first)
	for _, mtu := range []int{leastMTU6, leastMTU6 - 1, leastMTU4, leastMTU4 - 1} {
		if err := iface.SetMTU("lo", mtu); err != nil {
			return seen, err
		}
		r, err := bind()
		if err != nil {
			return seen, err
		}
		r.MTU = mtu
		seen = append(seen, r)
	}
	return seen, nil
}, func(_ SpecContext, seen []reach) {
	hasIPv6 := seen[0].V6 == 0
	if !hasIPv6 {
		spec.Evidence("::1", "not asked: %s even with an MTU of %d", seen[0].V6, seen[0].MTU)
	}
	for _, r := range seen {
		spec.Evidence(fmt.Sprintf("MTU %d", r.MTU), "bind to 127.0.0.1: %s; to ::1: %s", errnoText(r.V4), errnoText(r.V6))
		for _, family := range []struct {
			addr  netip.Addr
			errno syscall.Errno
			least int
			asked bool
		}{{sock.IPv6.Loopback(0).Addr(), r.V6, leastMTU6, hasIPv6}, {sock.IPv4.Loopback(0).Addr(), r.V4, leastMTU4, true}} {
			want := syscall.Errno(0)
			if r.MTU < family.least {
				want = syscall.EADDRNOTAVAIL
			}
			if family.asked {
				Expect(errnoText(family.errno)).To(Equal(errnoText(want)), "bind to %v with an MTU of %d on lo", family.addr, r.MTU)
			}
		}
	}
})

func errnoText(errno syscall.Errno) string {
	if errno == 0 {
		return "taken"
	}
	return errno.Error()
}

// bindErrno is what binding the family's loopback address gives, 0 where it is
// taken.
func bindErrno(family sock.Family) (syscall.Errno, error) {
	s, err := sock.New(sock.UDP, family)
	if err != nil {
		return errnoOf(err)
	}
	defer s.Close()
	return errnoOf(s.Bind(family.Loopback(0)))
}

// Most that a path can take (IP_MAX_MTU and IP6_MAX_MTU, include/net/ip.h and
// ip6_route.h).
const (
	mostMTU4 = 1<<16 - 1
	mostMTU6 = 1<<16 - 1 + 40
)

var _ = suite.It("tells an MTU of 65,535 towards 127.0.0.1, and of 65,536 towards ::1", check.Check{
	ID: "LIM-009", Grade: check.GradeFail, OS: "linux",
	Source: "ip(7), IP_MTU; ipv6(7), IPV6_MTU; drivers/net/loopback.c of the kernel (64 KiB)",
	Asks:   "Connects a UDP socket to each loopback address and reads the MTU of the path (IP_MTU, IPV6_MTU), which sends nothing. It must be lo's, of 65,536 bytes unless it was changed, or the most that IPv4 can have, 65,535.",
	Why:    "TCP and QUIC cut their data to it. A route or a forged ICMP message that makes it smaller than the interface costs several times the packets for everything that the machine says to itself, and shows nowhere else.",
	Causes: []string{
		"a route of the local table has an mtu of its own (`ip route show table local`, `ip -6 route show table local`)",
		"a smaller MTU of the path was learnt from an ICMP message (`ip route get 127.0.0.1`, cache)",
		"net.ipv6.conf.lo.mtu was lowered while a connection stood",
	},
	Remedies: []string{
		"`ip route replace local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1`, and the same for 127.0.0.1",
		"`ip route flush cache`",
	},
}, func(SpecContext) {
	lo, err := iface.MTU("lo")
	Expect(err).NotTo(HaveOccurred())
	expectPathMTU(sock.IPv4, sock.MTU, min(lo, mostMTU4), lo)
	if why := spec.LacksIPv6(); why != "" {
		spec.Evidence("::1", "not asked: %s", why)
		return
	}
	// IPv6 has an MTU of its own for each interface, lo's or less.
	own := lo
	if text, err := sysctl.Read("net.ipv6.conf.lo.mtu"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
			own = n
		}
	}
	expectPathMTU(sock.IPv6, sock.V6MTU, min(own, mostMTU6), lo)
})

func expectPathMTU(family sock.Family, option sock.Option, want, ofLo int) {
	GinkgoHelper()
	s, err := sock.New(sock.UDP, family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	const discard = 9 // nothing is sent to it
	to := family.Loopback(discard)
	Expect(s.StartConnect(to)).To(Succeed())
	got, err := s.Get(option)
	Expect(err).NotTo(HaveOccurred())
	spec.Evidence(to.Addr().String(), "%s is %d; lo's MTU is %d", option, got, ofLo)
	Expect(got).To(Equal(want), "%s towards %v, where lo's MTU is %d", option, to.Addr(), ofLo)
}
