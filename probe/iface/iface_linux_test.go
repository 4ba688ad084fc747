package iface_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// answers is what the probe says in a namespace.
type answers struct {
	Loopback  iface.Link
	Others    []iface.Own
	Addresses []iface.Assigned
	Routes    map[string]iface.Route
}

// ask changes the namespace with shell commands and then puts every question.
var ask = sandbox.Register("iface/ask", func(ctx context.Context, _ *sandbox.Inside, commands []string) (a answers, err error) {
	for _, command := range commands {
		if out, err := exec.CommandContext(ctx, "sh", "-c", command).CombinedOutput(); err != nil {
			return a, fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	if a.Loopback, err = iface.Loopback(); err != nil {
		return a, err
	}
	if a.Others, err = iface.Others(); err != nil {
		return a, err
	}
	if a.Addresses, err = iface.Addresses(); err != nil {
		return a, err
	}
	a.Routes = map[string]iface.Route{}
	for _, to := range []string{"127.0.0.1", "10.9.9.9", "10.9.9.10", "192.0.2.1"} {
		route, err := iface.RouteTo(netip.MustParseAddr(to))
		if err != nil && !errors.Is(err, syscall.ENETUNREACH) {
			return a, err
		}
		if err == nil {
			a.Routes[to] = route
		}
	}
	return a, nil
})

// withEth0 is a sandbox that has an interface eth0 with addresses beside lo.
func withEth0(t *testing.T, addresses ...string) *sandbox.Sandbox {
	t.Helper()
	var prefixes []netip.Prefix
	for _, a := range addresses {
		prefixes = append(prefixes, netip.MustParsePrefix(a))
	}
	return sandboxtest.Start(t, sandbox.Config{Links: []sandbox.Link{{
		A: sandbox.End{Name: "eth0", Addresses: prefixes}, B: sandbox.End{Name: "far"},
	}}})
}

// in asks in a namespace that has an interface eth0 with an address.
func in(t *testing.T, commands ...string) answers {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil && len(commands) > 0 {
		t.Skip("the namespace is changed with ip, which is not installed here")
	}
	s := withEth0(t, "10.9.9.9/24")
	a, err := ask.Call(t.Context(), s, "", commands)
	if err != nil && strings.Contains(err.Error(), "Unknown device type") {
		t.Skipf("this kernel lacks the interface: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLoopbackAsTheKernelMakesIt(t *testing.T) {
	lo := in(t).Loopback
	lo.SentBytes = 0
	NewWithT(t).Expect(lo).To(Equal(iface.Link{Name: "lo", Up: true, State: iface.Unknown, MTUBytes: 65536, Qdisc: "noqueue", GSOMaxSegments: 65535, GSOMaxBytes: 65536}))
}

func TestLoopbackShowsWhatWasChanged(t *testing.T) {
	g := NewWithT(t)
	g.Expect(in(t, "ip link set lo down").Loopback).To(And(HaveField("Up", false), HaveField("State", iface.Down)))
	g.Expect(in(t, "ip link set lo mtu 1500").Loopback).To(HaveField("MTUBytes", 1500))
}

func TestLoopbackCountsWhatItSends(t *testing.T) {
	g := NewWithT(t)
	before, err := iface.Loopback()
	g.Expect(err).NotTo(HaveOccurred())
	if !before.Up {
		t.Skip("lo is down here")
	}
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	g.Expect(err).NotTo(HaveOccurred())
	defer syscall.Close(s)
	self := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	g.Expect(syscall.Bind(s, self)).To(Succeed())
	bound, err := syscall.Getsockname(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(syscall.Sendto(s, make([]byte, 4000), 0, bound)).To(Succeed())
	after, err := iface.Loopback()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(after.SentBytes - before.SentBytes).To(BeNumerically(">=", 4000))
}

func TestOthersHoldWhatCanBeBound(t *testing.T) {
	const ofEth0 = "10.9.9.9 of eth0"
	for name, c := range map[string]struct {
		commands []string
		want     []string
	}{
		"an address":           {nil, []string{ofEth0}},
		"link-local":           {[]string{"ip address add fe80::9/64 dev eth0 nodad"}, []string{ofEth0}},
		"IPv6":                 {[]string{"ip address add fd99::9/64 dev eth0 nodad"}, []string{ofEth0, "fd99::9 of eth0"}},
		"IPv6 after IPv4":      {[]string{"ip address flush dev eth0", "ip address add fd99::9/64 dev eth0 nodad", "ip address add 10.8.8.8/24 dev eth0"}, []string{"10.8.8.8 of eth0", "fd99::9 of eth0"}},
		"point to point":       {[]string{"ip address flush dev eth0", "ip address add 10.7.7.7 peer 10.7.7.8 dev eth0"}, []string{"10.7.7.7 of eth0"}},
		"an interface down":    {[]string{"ip link set eth0 down"}, nil},
		"no address":           {[]string{"ip address flush dev eth0"}, nil},
		"an address of lo":     {[]string{"ip address add 10.6.6.6/32 dev lo"}, []string{ofEth0}},
		"on lo as well":        {[]string{"ip address add 10.9.9.9/32 dev lo"}, nil},
		"127/8 on another one": {[]string{"ip address add 127.9.9.9/32 dev far"}, []string{ofEth0}},
		"in a VRF":             {[]string{"ip link add red type vrf table 10", "ip link set eth0 master red"}, nil},
		"not yet probed for a duplicate": {[]string{
			"sysctl -qw net.ipv6.conf.far.accept_dad=1 net.ipv6.conf.far.dad_transmits=100",
			"ip address add fd99::9/64 dev far",
		}, []string{ofEth0}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat("/proc/net/if_inet6"); err != nil && strings.Contains(strings.Join(c.commands, " "), "::") {
				t.Skipf("this kernel has no IPv6: %v", err)
			}
			var seen []string
			for _, own := range in(t, c.commands...).Others {
				seen = append(seen, own.String())
			}
			NewWithT(t).Expect(seen).To(Equal(c.want))
		})
	}
}

func TestAddressesHoldWhatEveryInterfaceHas(t *testing.T) {
	g := NewWithT(t)
	a := in(t, "ip link set far down", "ip address add 127.9.9.9/32 dev far", "ip address add 10.8.8.8/24 brd 10.8.8.127 dev far").Addresses
	g.Expect(a).To(ContainElements(
		iface.Assigned{Addr: netip.MustParseAddr("127.0.0.1"), Bits: 8, Interface: "lo"},
		iface.Assigned{Addr: netip.MustParseAddr("127.9.9.9"), Bits: 32, Interface: "far"},
		iface.Assigned{Addr: netip.MustParseAddr("10.8.8.8"), Broadcast: netip.MustParseAddr("10.8.8.127"), Bits: 24, Interface: "far"},
		iface.Assigned{Addr: netip.MustParseAddr("10.9.9.9"), Broadcast: netip.MustParseAddr("10.9.9.255"), Bits: 24, Interface: "eth0"},
	))
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		g.Expect(a).To(ContainElement(iface.Assigned{Addr: netip.IPv6Loopback(), Bits: 128, Interface: "lo"}))
	}
}

func TestRouteTellsTheMachineFromOthers(t *testing.T) {
	g := NewWithT(t)
	g.Expect(in(t).Routes).To(Equal(map[string]iface.Route{
		"127.0.0.1": {Local: true, Interface: "lo"},
		"10.9.9.9":  {Local: true, Interface: "lo"},
		"10.9.9.10": {Interface: "eth0"},
	}))
	g.Expect(in(t, "ip route del local 10.9.9.9 table local").Routes).To(
		HaveKeyWithValue("10.9.9.9", iface.Route{Interface: "eth0"}))
}

var ownInside = sandbox.Register("iface/owns", func(_ context.Context, _ *sandbox.Inside, addresses []string) (map[string]bool, error) {
	own := map[string]bool{}
	for _, address := range addresses {
		is, why, err := iface.Owns(netip.MustParseAddr(address))
		if err != nil || is != (why == "") {
			return nil, fmt.Errorf("%s: %v, %q, %w", address, is, why, err)
		}
		own[address] = is
	}
	return own, nil
})

func TestOwnAddresses(t *testing.T) {
	g := NewWithT(t)
	want := map[string]bool{
		"127.0.0.1": true, "127.255.255.254": true, "10.9.9.9": true,
		"10.9.9.10": false, "10.9.9.255": false, "127.255.255.255": false, "192.0.2.1": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false,
		"fe80::9%eth0": true, "fe80::9%far": false, "fe80::10%eth0": false, "fe80::9%none": false,
	}
	if !sandboxtest.HasIPv6() {
		want["fe80::9%eth0"] = false
	}
	var addresses []string
	for address := range want {
		addresses = append(addresses, address)
	}
	own, err := ownInside.Call(t.Context(), withEth0(t, "10.9.9.9/24", "fe80::9/64"), "", addresses)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(own).To(Equal(want))
}
