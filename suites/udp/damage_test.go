package udp

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"sysctl -e -w net.ipv6.conf.lo.disable_ipv6=1"})
}

func TestChecksFailInADamagedStack(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"lo down, without its address": {
			Setup:  []string{"ip address flush dev lo", "ip link set lo down"},
			Filter: "udp",
			Want:   onTheHost("cannot assign requested address"),
		},
		"empty datagrams lost": {
			Setup:  damage.Input("udp length 8 drop"),
			Filter: "udp",
			Want: map[string]string{
				"UDP-001": "datagram 2 of 6",
				"UDP-010": "datagram 0 was lost or overtaken",
			},
		},
		"long datagrams lost": {
			Setup:  damage.Input("meta length gt 60000 drop"),
			Filter: "udp",
			Want: map[string]string{
				"UDP-002": "the datagram of 65507 bytes over IPv4",
				"UDP-010": "bytes did not arrive",
			},
		},
		"fragments of IPv6 lost": {
			Setup:  damage.Hook("prerouting", -500, "meta nfproto ipv6 exthdr frag exists drop"),
			Filter: "UDP-002",
			Want:   map[string]string{"UDP-002": "the datagram of 65527 bytes over IPv6"},
			IPv6:   true,
		},
		"datagrams refused": {
			Setup:  damage.Input("meta l4proto udp drop"),
			Filter: "UDP-003",
			Want:   map[string]string{"UDP-003": "the datagram that begins with"},
		},
		"ICMP lost": {
			Setup:  damage.Input("icmp type destination-unreachable drop"),
			Filter: "udp",
			Want: map[string]string{
				"UDP-004": "no error came back",
				"UDP-005": "the error of sending to closed port",
			},
		},
		"refused with another error": {
			Setup:  damage.Input("meta l4proto udp reject with icmpx type admin-prohibited"),
			Filter: "UDP-004",
			Want:   map[string]string{"UDP-004": "the second operation gave"},
		},
		"one of 500 lost": {
			Setup:  damage.Input("meta l4proto udp numgen inc mod 500 == 499 drop"),
			Filter: "UDP-010",
			Want:   map[string]string{"UDP-010": "datagram 499"},
		},
		"contents rewritten": {
			Setup:  damage.Input("meta length gt 20000 @th,8000,8 set 0x55"),
			Filter: "UDP-010",
			Want:   map[string]string{"UDP-010": "bytes that were not sent so"},
		},
	})
}

// onTheHost is what a case wants where all checks must say the same that do
// not ask in a sandbox.
func onTheHost(message string) map[string]string {
	want := damage.Every(message)
	for _, id := range []string{"UDP-013", "UDP-014"} {
		delete(want, id)
	}
	return want
}
