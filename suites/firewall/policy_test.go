package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// breaches are as many packets to one port each that a rule let through.
func breaches(n int) policy.Outcome {
	o := policy.Outcome{Expected: "drop"}
	for i := range n {
		o.Breaches = append(o.Breaches, policy.Breach{
			From: "outside", Source: netip.MustParseAddr("192.0.2.2"), To: netip.MustParseAddr("192.0.2.1"), Protocol: "tcp",
			First: uint16(22 + i), Last: uint16(22 + i), Actual: verdict.Verdict{Action: verdict.Accept},
			Rule: &firewall.Rule{Text: "tcp dport 22 accept", File: "fw.nft", Line: 4},
		})
	}
	return o
}

func TestWhatIsBrokenIsTold(t *testing.T) {
	want := "tcp from outside (192.0.2.2) to 192.0.2.1, port 22\n  expected: drop\n  actual: accept\n  decided by: fw.nft:4: tcp dport 22 accept"
	if got := broken(breaches(1)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	many := broken(breaches(toldBreaches + 3))
	if strings.Count(many, "expected: drop") != toldBreaches || !strings.HasSuffix(many, "\nand 3 more, which the report lists") {
		t.Errorf("it tells\n%s", many)
	}
}
