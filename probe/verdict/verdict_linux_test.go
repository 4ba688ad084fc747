package verdict_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

const (
	// patience bounds what takes microseconds.
	patience = 10 * time.Second
	// silence is how long no answer makes a drop.
	silence = 20 * time.Millisecond
)

// The firewall under test stands in the zone inside, the other end of its eth0
// in the zone outside.
const inside, outside = "inside", "outside"

var (
	insideV4, insideV6   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	outsideV4, outsideV6 = netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
)

type question struct {
	Packets []verdict.Packet
	Wait    time.Duration
}

var ask = sandbox.Register("verdict/ask", func(ctx context.Context, _ *sandbox.Inside, q question) ([]verdict.Answer, error) {
	return verdict.OfAll(ctx, q.Packets, q.Wait)
})

// serve holds a TCP listener and a UDP echo server on the port of an address
// until the sandbox ends.
var serve = sandbox.Register("verdict/serve", func(_ context.Context, _ *sandbox.Inside, at netip.AddrPort) (struct{}, error) {
	family := sock.IPv4
	if at.Addr().Is6() {
		family = sock.IPv6
	}
	listener, listenErr := sock.New(sock.TCP, family)
	server, serveErr := sock.New(sock.UDP, family)
	if err := errors.Join(listenErr, serveErr); err != nil {
		return struct{}{}, err
	}
	go func() {
		for buf := make([]byte, 100); ; {
			n, from, err := server.RecvFrom(context.Background(), buf, 0)
			if err != nil {
				return
			}
			_, _ = server.SendTo(context.Background(), buf[:n], from, 0)
		}
	}()
	return struct{}{}, errors.Join(listener.Bind(at), listener.Listen(128), server.Bind(at))
})

// behind starts two zones, both of which have the rules of nft(8).
func behind(t *testing.T, rules ...string) *sandbox.Sandbox {
	t.Helper()
	commands := []string{"sysctl -q -e -w net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0"}
	for _, rule := range rules {
		commands = append(commands, "nft '"+rule+"'")
	}
	return after(t, commands...)
}

// after starts two zones in which the commands ran.
func after(t *testing.T, commands ...string) *sandbox.Sandbox {
	t.Helper()
	if err := exec.Command("sh", "-c", "command -v nft && command -v sysctl").Run(); err != nil {
		t.Skip("nft and sysctl are not both installed here")
	}
	undo := sandbox.Damage(commands...)
	defer undo()
	return started(t)
}

func started(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	v4, v6 := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 24) }, func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 64) }
	a := sandbox.End{Zone: inside, Name: "eth0", Addresses: []netip.Prefix{v4(insideV4)}}
	b := sandbox.End{Zone: outside, Name: "uplink", Addresses: []netip.Prefix{v4(outsideV4)}}
	if sandboxtest.HasIPv6() {
		a.Addresses, b.Addresses = append(a.Addresses, v6(insideV6)), append(b.Addresses, v6(outsideV6))
	}
	s := sandboxtest.Start(t, sandbox.Config{Zones: []string{inside, outside}, Links: []sandbox.Link{{A: a, B: b}}})
	return s
}

func families() []sock.Family {
	if sandboxtest.HasIPv6() {
		return []sock.Family{sock.IPv4, sock.IPv6}
	}
	return []sock.Family{sock.IPv4}
}

// path is one way to the zone inside.
type path struct {
	name, from string
	to         netip.Addr
}

func paths(family sock.Family) []path {
	to := insideV4
	if family == sock.IPv6 {
		to = insideV6
	}
	return []path{{"lo", inside, family.Loopback(0).Addr()}, {"veth", outside, to}}
}

func one(t *testing.T, s *sandbox.Sandbox, zone string, p verdict.Packet, wait time.Duration) verdict.Answer {
	t.Helper()
	answers, err := ask.Call(t.Context(), s, zone, question{Packets: []verdict.Packet{p}, Wait: wait})
	if err != nil || len(answers) != 1 {
		t.Fatalf("%s: %v, %v", p, answers, err)
	}
	return answers[0]
}

// errnos is what the kernel's tables icmp_err_convert (net/ipv4/icmp.c) and
// tab_unreach (net/ipv6/icmp.c) make of each kind.
var errnos = map[verdict.Kind]syscall.Errno{
	"icmp net-unreachable":    syscall.ENETUNREACH,
	"icmp host-unreachable":   syscall.EHOSTUNREACH,
	"icmp prot-unreachable":   syscall.ENOPROTOOPT,
	"icmp port-unreachable":   syscall.ECONNREFUSED,
	"icmp net-prohibited":     syscall.ENETUNREACH,
	"icmp host-prohibited":    syscall.EHOSTUNREACH,
	"icmp admin-prohibited":   syscall.EHOSTUNREACH,
	"icmpv6 no-route":         syscall.ENETUNREACH,
	"icmpv6 admin-prohibited": syscall.EACCES,
	"icmpv6 addr-unreachable": syscall.EHOSTUNREACH,
	"icmpv6 port-unreachable": syscall.ECONNREFUSED,
	"icmpv6 policy-fail":      syscall.EACCES,
	"icmpv6 reject-route":     syscall.EACCES,
}

// Each kind has a port of its own, in the input hook and in the output hook.
func rejecting(hook string) (rules []string, ports map[verdict.Kind]uint16) {
	ports = map[verdict.Kind]uint16{}
	for _, family := range []string{"ip", "ip6"} {
		if family == "ip6" && !sandboxtest.HasIPv6() {
			continue
		}
		rules = append(rules, "add table "+family+" t", "add chain "+family+" t c { type filter hook "+hook+" priority 0; }")
	}
	for i, k := range verdict.ICMPKinds() {
		if k.Family == sock.IPv6 && !sandboxtest.HasIPv6() {
			continue
		}
		family := map[sock.Family]string{sock.IPv4: "ip", sock.IPv6: "ip6"}[k.Family]
		protocol, name, _ := strings.Cut(string(k.Kind), " ")
		ports[k.Kind] = uint16(1000 + i)
		rules = append(rules, fmt.Sprintf("add rule %s t c meta l4proto { tcp, udp } th dport %d reject with %s type %s", family, 1000+i, protocol, name))
	}
	return rules, ports
}

func TestEachICMPKindIsToldApart(t *testing.T) {
	rules, ports := rejecting("input")
	s := behind(t, rules...)
	for _, k := range verdict.ICMPKinds() {
		for _, p := range paths(k.Family) {
			for _, protocol := range []sock.Kind{sock.TCP, sock.UDP} {
				t.Run(fmt.Sprintf("%s/%s/%s", k.Kind, p.name, protocol), func(t *testing.T) {
					if k.Family == sock.IPv6 && !sandboxtest.HasIPv6() {
						t.Skip("the kernel has no IPv6")
					}
					got := one(t, s, p.from, verdict.Packet{Protocol: protocol, To: netip.AddrPortFrom(p.to, ports[k.Kind])}, patience)
					if want := (verdict.Verdict{Action: verdict.Reject, Kind: k.Kind}); got.Verdict != want || got.Local {
						t.Fatalf("%v, want %v", got, want)
					}
					if got.ICMP == nil || got.ICMP.Type != k.Type || got.ICMP.Code != k.Code {
						t.Errorf("ICMP %v, want type %d, code %d", got.ICMP, k.Type, k.Code)
					}
					if got.Errno != errnos[k.Kind] {
						t.Errorf("errno %v, want %v", got.Errno, errnos[k.Kind])
					}
				})
			}
		}
	}
}

func TestARejectOnTheWayOutIsToldApart(t *testing.T) {
	rules, ports := rejecting("output")
	s := behind(t, rules...)
	for _, k := range verdict.ICMPKinds() {
		if k.Family == sock.IPv6 && !sandboxtest.HasIPv6() {
			continue
		}
		beyond := outsideV4
		if k.Family == sock.IPv6 {
			beyond = outsideV6
		}
		for _, to := range []netip.Addr{k.Family.Loopback(0).Addr(), beyond} {
			for _, protocol := range []sock.Kind{sock.TCP, sock.UDP} {
				got := one(t, s, inside, verdict.Packet{Protocol: protocol, To: netip.AddrPortFrom(to, ports[k.Kind])}, patience)
				want := verdict.Verdict{Action: verdict.Reject, Kind: k.Kind}
				// Of what becomes of a SYN connect(2) is told nothing.
				if got.Verdict != want || got.Local != (protocol == sock.UDP) || got.Errno != errnos[k.Kind] {
					t.Errorf("%s to %s: %v, want %v", protocol, to, got, want)
				}
			}
		}
	}
}

func TestResetDropAndAcceptAreToldApart(t *testing.T) {
	const reset, dropped, held, closed, open = 2001, 2002, 2003, 2004, 2005
	s := behind(t,
		"add table inet t",
		"add chain inet t in { type filter hook input priority 0; }",
		"add chain inet t out { type filter hook output priority 0; }",
		fmt.Sprintf("add rule inet t in tcp dport %d reject with tcp reset", reset),
		fmt.Sprintf("add rule inet t in meta l4proto { tcp, udp } th dport %d drop", dropped),
		fmt.Sprintf("add rule inet t out meta l4proto { tcp, udp } th dport %d drop", held),
	)
	refused := verdict.Answer{Verdict: verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}, Errno: syscall.ECONNREFUSED}
	silent := verdict.Answer{Verdict: verdict.Verdict{Action: verdict.Drop}}
	accepted := verdict.Answer{Verdict: verdict.Verdict{Action: verdict.Accept}}
	for _, family := range families() {
		unreachable := verdict.Answer{Verdict: verdict.Verdict{Action: verdict.Reject, Kind: "icmp port-unreachable"}, Errno: syscall.ECONNREFUSED}
		if family == sock.IPv6 {
			unreachable.Kind = "icmpv6 port-unreachable"
		}
		for _, p := range paths(family) {
			if _, err := serve.Call(t.Context(), s, inside, netip.AddrPortFrom(p.to, open)); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name     string
				protocol sock.Kind
				port     uint16
				wait     time.Duration
				want     verdict.Answer
			}{
				{"rejected with RST", sock.TCP, reset, patience, refused},
				{"closed", sock.TCP, closed, patience, refused},
				{"closed", sock.UDP, closed, patience, unreachable},
				{"dropped", sock.TCP, dropped, silence, silent},
				{"dropped", sock.UDP, dropped, silence, silent},
				{"dropped on its way out", sock.TCP, held, silence, silent},
				{"dropped on its way out", sock.UDP, held, silence, verdict.Answer{Verdict: silent.Verdict, Errno: syscall.EPERM, Local: true}},
				{"open", sock.TCP, open, patience, accepted},
				{"open", sock.UDP, open, patience, accepted},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s %s", family, p.name, c.protocol, c.name), func(t *testing.T) {
					packet := verdict.Packet{Protocol: c.protocol, To: netip.AddrPortFrom(p.to, c.port), Payload: []byte("anybody?")}
					got := one(t, s, p.from, packet, c.wait)
					if got.Verdict != c.want.Verdict || got.Errno != c.want.Errno || got.Local != c.want.Local {
						t.Errorf("%v, want %v", got, c.want)
					}
					if got.Took <= 0 || got.Action == verdict.Drop && !got.Local && got.Took < c.wait {
						t.Errorf("took %s of a wait of %s", got.Took, c.wait)
					}
				})
			}
		}
	}
}

func TestManyAreAskedAtOnce(t *testing.T) {
	s := behind(t,
		"add table inet t",
		"add chain inet t in { type filter hook input priority 0; }",
		"add rule inet t in tcp dport 3000-3099 drop",
		"add rule inet t in tcp dport 3100-3199 reject with icmpx type admin-prohibited",
	)
	if _, err := serve.Call(t.Context(), s, inside, sock.IPv4.Loopback(3200)); err != nil {
		t.Fatal(err)
	}
	var packets []verdict.Packet
	var want []verdict.Verdict
	for i := range uint16(100) {
		for to, v := range map[uint16]verdict.Verdict{
			3000 + i: {Action: verdict.Drop},
			3100 + i: {Action: verdict.Reject, Kind: "icmp admin-prohibited"},
			3200:     {Action: verdict.Accept},
		} {
			packets = append(packets, verdict.Packet{Protocol: sock.TCP, To: sock.IPv4.Loopback(to)})
			want = append(want, v)
		}
	}
	answers, err := ask.Call(t.Context(), s, inside, question{Packets: packets, Wait: 10 * silence})
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(want) {
		t.Fatalf("%d answers to %d packets", len(answers), len(want))
	}
	for i, got := range answers {
		if got.Verdict != want[i] {
			t.Errorf("%s: %v, want %v", packets[i], got, want[i])
		}
	}
}

// With so few ephemeral ports some sockets get the very port that they ask
// about, and would be connected to themselves.
func TestAClosedPortOfTheEphemeralRangeIsNotTakenForOpen(t *testing.T) {
	s := after(t, "sysctl -q -w net.ipv4.ip_local_port_range='40000 40003'")
	for i := range uint16(40) {
		to := sock.IPv4.Loopback(40000 + i%4)
		for protocol, want := range map[sock.Kind]verdict.Kind{sock.TCP: verdict.TCPReset, sock.UDP: "icmp port-unreachable"} {
			if got := one(t, s, inside, verdict.Packet{Protocol: protocol, To: to}, patience); got.Kind != want {
				t.Errorf("%s %s: %v", protocol, to, got)
			}
		}
	}
}

func TestWhatIsNoVerdictIsAnError(t *testing.T) {
	s := started(t)
	for _, protocol := range []sock.Kind{sock.TCP, sock.UDP} {
		_, err := ask.Call(t.Context(), s, inside, question{Wait: patience, Packets: []verdict.Packet{
			{Protocol: protocol, To: netip.MustParseAddrPort("203.0.113.1:80")},
		}})
		if !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("%s without a route: %v", protocol, err)
		}
	}
}

func TestAsksNothingAfterItsContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := verdict.Of(ctx, verdict.Packet{Protocol: sock.UDP, To: sock.IPv4.Loopback(1)}, patience)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}

// What a closed port says needs no sandbox and no privilege.
func TestAClosedPortOfTheMachine(t *testing.T) {
	holder, closedUDP, err := sock.ClosedUDP(sock.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	bound, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	if err := bound.Bind(sock.IPv4.Loopback(0)); err != nil {
		t.Fatal(err)
	}
	closedTCP, err := bound.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]struct {
		packet verdict.Packet
		kind   verdict.Kind
	}{
		"tcp": {verdict.Packet{Protocol: sock.TCP, To: closedTCP}, verdict.TCPReset},
		"udp": {verdict.Packet{Protocol: sock.UDP, To: closedUDP, Payload: []byte("anybody?")}, "icmp port-unreachable"},
	} {
		got, err := verdict.Of(t.Context(), want.packet, patience)
		if err != nil || got.Kind != want.kind || got.Errno != syscall.ECONNREFUSED {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
}
