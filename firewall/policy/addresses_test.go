package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// A network's ends are asked, unless the stack itself drops them.
func TestTheEndsOfNetworks(t *testing.T) {
	p, err := Parse("policy.yaml", []byte(`rules: a.nft
zones:
  outside: {interface: eth0, machine: [198.51.100.1/24, "2001:db8::1/64"]}
defaults: [{from: outside, verdict: drop}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		network, zone string
		sources       string
		destinations  string
	}{
		{"10.0.0.0/8", "outside", "10.0.0.0 10.255.255.255", "10.0.0.0 10.255.255.255"},
		{"192.0.2.7/32", "outside", "192.0.2.7", "192.0.2.7"},
		// The machine is .1, its neighbour .2; .0 and .255 are broadcast.
		{"198.51.100.0/24", "outside", "198.51.100.2 198.51.100.254", "198.51.100.1 198.51.100.254"},
		{"198.51.100.254/31", "outside", "198.51.100.254", "198.51.100.254"},
		{"0.0.0.0/0", "outside", "1.0.0.0 255.255.255.254", "1.0.0.0 255.255.255.254"},
		{"127.0.0.0/8", "outside", "127.0.0.0 127.255.255.255", "127.0.0.0 127.255.255.255"},
		{"127.0.0.0/8", "loopback", "127.0.0.1 127.255.255.254", "127.0.0.1 127.255.255.254"},
		{"fd00::/8", "outside", "fd00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::/0", "outside", "::2 feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::2 feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		given := []netip.Prefix{netip.MustParsePrefix(c.network)}
		family := sock.IPv4
		if given[0].Addr().Is6() {
			family = sock.IPv6
		}
		if got := texts(p.sourceEnds(given, c.zone, family)); got != c.sources {
			t.Errorf("%s as a source from %s: %s, want %s", c.network, c.zone, got, c.sources)
		}
		if got := texts(p.destinationEnds(given, c.zone, Machine, family)); got != c.destinations {
			t.Errorf("%s as a destination from %s: %s, want %s", c.network, c.zone, got, c.destinations)
		}
	}
}

func texts(list []netip.Addr) string { return strings.Trim(fmt.Sprint(list), "[]") }

// What a policy sends to at the machine, the machine has.
func TestTheMachineHasItsDestinations(t *testing.T) {
	p, err := Parse("policy.yaml", []byte(`rules: a.nft
zones:
  outside: {interface: eth0, machine: 198.51.100.1/24}
  lan: {interface: eth1, machine: 192.0.2.1/24}
expect:
  - {from: outside, destination: [203.0.113.5, 198.51.100.1, 224.0.0.1, 127.0.0.1], protocol: tcp, verdict: drop}
  - {from: outside, to: lan, destination: 192.0.2.9, protocol: tcp, verdict: drop}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(p.owned()); got != "203.0.113.5" {
		t.Errorf("got %s", got)
	}
}
