package udp

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// input is a chain that every packet on lo of the namespace passes.
func input(rule string) []string {
	return []string{
		"nft add table inet broken",
		"nft add chain inet broken in '{ type filter hook input priority 0; }'",
		"nft add rule inet broken in '" + rule + "'",
	}
}

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) {
	outcomes := damage.Outcomes(t, nil, "udp")
	NewWithT(t).Expect(outcomes).To(HaveLen(5))
	NewWithT(t).Expect(outcomes).To(HaveEach(HaveField("State", check.Pass)))
}

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	outcomes := damage.Outcomes(t, []string{"sysctl -w net.ipv6.conf.lo.disable_ipv6=1"}, "udp")
	NewWithT(t).Expect(outcomes).To(HaveEach(HaveField("State", check.Pass)))
}

func TestChecksFailInADamagedStack(t *testing.T) {
	for name, c := range map[string]struct {
		setup  []string
		filter string
		// want holds the checks that must not be satisfied and what they must say.
		want map[string]string
	}{
		"empty datagrams lost": {
			input("udp length 8 drop"), "udp",
			map[string]string{
				"UDP-001": "datagram 2 of 6",
				"UDP-010": "datagram 0 was lost or overtaken",
			},
		},
		"long datagrams lost": {
			input("meta length gt 60000 drop"), "udp",
			map[string]string{
				"UDP-002": "the datagram of 65507 bytes over IPv4",
				"UDP-010": "bytes did not arrive",
			},
		},
		"fragments of IPv6 lost": {
			[]string{
				"nft add table ip6 broken",
				"nft add chain ip6 broken in '{ type filter hook prerouting priority -500; }'",
				"nft add rule ip6 broken in 'exthdr frag exists drop'",
			},
			"UDP-002",
			map[string]string{"UDP-002": "the datagram of 65527 bytes over IPv6"},
		},
		"datagrams refused": {
			input("meta l4proto udp drop"), "UDP-003",
			map[string]string{"UDP-003": "the datagram that begins with"},
		},
		"ICMP lost": {
			input("icmp type destination-unreachable drop"), "udp",
			map[string]string{"UDP-004": "no error came back"},
		},
		"refused with another error": {
			input("meta l4proto udp reject with icmpx type admin-prohibited"), "UDP-004",
			map[string]string{"UDP-004": "the second operation gave"},
		},
		"one of 500 lost": {
			input("meta l4proto udp numgen inc mod 500 == 499 drop"), "UDP-010",
			map[string]string{"UDP-010": "datagram 499"},
		},
		"contents rewritten": {
			input("meta length gt 20000 @th,8000,8 set 0x55"), "UDP-010",
			map[string]string{"UDP-010": "bytes that were not sent so"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			outcomes := damage.Outcomes(t, c.setup, c.filter)
			for id, message := range c.want {
				declared, _ := check.Lookup(id)
				g.Expect(outcomes).To(HaveKeyWithValue(id, And(
					HaveField("State", declared.Grade.Broken()),
					HaveField("Message", ContainSubstring(message)),
				)), id)
			}
			for id, o := range outcomes {
				if _, expected := c.want[id]; !expected {
					g.Expect(o.State).To(Equal(check.Pass), "%s: %s", id, o.Message)
				}
			}
		})
	}
}
