package tcp

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
	outcomes := damage.Outcomes(t, nil, "tcp")
	NewWithT(t).Expect(outcomes).To(HaveLen(10))
	NewWithT(t).Expect(outcomes).To(HaveEach(HaveField("State", check.Pass)))
}

func TestChecksFailInADamagedStack(t *testing.T) {
	for name, c := range map[string]struct {
		setup  []string
		filter string
		// want holds the checks that must fail and what they must say.
		want map[string]string
	}{
		"RST lost": {
			input("tcp flags & rst == rst drop"), "tcp",
			map[string]string{
				"TCP-001": "context deadline exceeded",
				"TCP-054": "the first read",
				"TCP-056": "what the peer reads",
			},
		},
		"SYN refused with ICMP": {
			input("tcp flags syn reject with icmpx type admin-prohibited"), "TCP-001",
			map[string]string{"TCP-001": "no route to host"},
		},
		"SYN that overflows is refused": {
			input("tcp flags & (syn|ack) == syn limit rate over 1/hour burst 4 packets reject with tcp reset"), "TCP-005",
			map[string]string{"TCP-005": "ListenOverflows"},
		},
		"simultaneous open dropped": {
			input("tcp flags & (syn|ack) == syn|ack drop"), "TCP-020",
			map[string]string{"TCP-020": "context deadline exceeded"},
		},
		"connections limited": {
			input("tcp flags & (syn|ack) == syn limit rate over 1/hour burst 500 packets reject with tcp reset"), "TCP-029",
			map[string]string{"TCP-029": "connection 501 of 1000"},
		},
		"ephemeral ports exhausted": {
			[]string{"sysctl -w net.ipv4.ip_local_port_range='40000 40499'"},
			"TCP-029",
			map[string]string{"TCP-029": "no ephemeral port is left"},
		},
		"payload rewritten": {
			// Behind 20 bytes of header and 12 of options.
			input("meta length gt 1400 @th,8000,8 set 0x55"), "TCP-030 || TCP-031",
			map[string]string{"TCP-030": "and should be", "TCP-031": "SHA-256 of what arrived"},
		},
		"FIN lost": {
			input("tcp flags & fin == fin drop"), "TCP-051 || TCP-052",
			map[string]string{
				"TCP-051": "i/o timeout",
				"TCP-052": "what the server reads after the client's FIN",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			outcomes := damage.Outcomes(t, c.setup, c.filter)
			for id, message := range c.want {
				g.Expect(outcomes).To(HaveKeyWithValue(id, And(
					HaveField("State", check.Fail),
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

func TestSlowRefusalFails(t *testing.T) {
	g := NewWithT(t)
	outcomes := damage.Outcomes(t, []string{"tc qdisc add dev lo root tbf rate 100kbit burst 100 limit 100000"}, "TCP-001")
	if outcomes["TCP-001"].State == check.Inconclusive {
		t.Skipf("the machine is too busy to tell: %s", outcomes["TCP-001"].Message)
	}
	g.Expect(outcomes["TCP-001"].State).To(Equal(check.Fail))
	g.Expect(outcomes["TCP-001"].Message).To(ContainSubstring("the quickest of 50 refusals"))
}
