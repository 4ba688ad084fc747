package latency

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

// TCP sends a lost segment again: that costs time, which is no fault.
func TestALostSegmentIsNoFailure(t *testing.T) {
	outcomes := damage.Outcomes(t, damage.Input("meta l4proto tcp meta length gt 100 numgen inc mod 2000 == 1999 drop"), "LAT-001")
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
	damage.Table(t, map[string]damage.Case{
		"every segment with data lost": {
			Setup:  damage.Input("meta l4proto tcp meta length gt 100 drop"),
			Filter: "LAT-001",
			Want:   map[string]string{"LAT-001": "tcp round trip 1 to 127.0.0.1"},
		},
		"connections refused": {
			Setup:  damage.Input("tcp flags syn reject with tcp reset"),
			Filter: "LAT-001",
			Want:   map[string]string{"LAT-001": "connection refused"},
		},
		"a segment rewritten": {
			Setup:  damage.Input("meta l4proto tcp meta length gt 100 numgen inc mod 500 == 499 @th,512,8 set 0xee"),
			Filter: "LAT-001",
			Want:   map[string]string{"LAT-001": "differs from its request"},
		},
		"one datagram of 500 lost": {
			Setup:  damage.Input("meta l4proto udp numgen inc mod 500 == 499 drop"),
			Filter: "LAT-002",
			Want:   map[string]string{"LAT-002": "udp round trip 250 to 127.0.0.1"},
		},
		"a datagram rewritten": {
			Setup:  damage.Input("meta l4proto udp numgen inc mod 500 == 499 @th,512,8 set 0xee"),
			Filter: "LAT-002",
			Want:   map[string]string{"LAT-002": "differs from its request"},
		},
		"lo down, without its address": {
			Setup:  []string{"ip address flush dev lo", "ip link set lo down"},
			Filter: "latency",
			Want:   damage.Every("cannot assign requested address"),
		},
	})
}
