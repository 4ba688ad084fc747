package latency

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
	outcomes := damage.Outcomes(t, nil, "latency")
	NewWithT(t).Expect(outcomes).To(HaveLen(2))
	NewWithT(t).Expect(outcomes).To(HaveEach(HaveField("State", check.Pass)))
}

// TCP sends a lost segment again: that costs time, which is no fault.
func TestALostSegmentIsNoFailure(t *testing.T) {
	outcomes := damage.Outcomes(t, input("meta l4proto tcp meta length gt 100 numgen inc mod 2000 == 1999 drop"), "LAT-001")
	NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("LAT-001", HaveField("State", check.Pass)))
}

// On a machine that is busy with something else as well, a crawling stack
// cannot be told from one that got no processor.
func TestACrawlingStackDoesNotPass(t *testing.T) {
	outcomes := damage.Outcomes(t, []string{"tc qdisc add dev lo root tbf rate 64kbit burst 1600 limit 30000"}, "LAT-001")
	NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("LAT-001", And(
		HaveField("State", BeElementOf(check.Fail, check.Inconclusive)),
		HaveField("Message", ContainSubstring("round trips")),
	)))
}

func TestChecksFailInADamagedStack(t *testing.T) {
	for name, c := range map[string]struct {
		setup   []string
		id      string
		message string
	}{
		"every segment with data lost": {
			input("meta l4proto tcp meta length gt 100 drop"),
			"LAT-001", "tcp round trip 1 to 127.0.0.1",
		},
		"connections refused": {
			input("tcp flags syn reject with tcp reset"),
			"LAT-001", "connection refused",
		},
		"a segment rewritten": {
			input("meta l4proto tcp meta length gt 100 numgen inc mod 500 == 499 @th,512,8 set 0xee"),
			"LAT-001", "differs from its request",
		},
		"one datagram of 500 lost": {
			input("meta l4proto udp numgen inc mod 500 == 499 drop"),
			"LAT-002", "udp round trip 250 to 127.0.0.1",
		},
		"a datagram rewritten": {
			input("meta l4proto udp numgen inc mod 500 == 499 @th,512,8 set 0xee"),
			"LAT-002", "differs from its request",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			outcomes := damage.Outcomes(t, c.setup, c.id)
			g.Expect(outcomes).To(HaveKeyWithValue(c.id, And(
				HaveField("State", check.Fail),
				HaveField("Message", ContainSubstring(c.message)),
			)))
		})
	}
}
