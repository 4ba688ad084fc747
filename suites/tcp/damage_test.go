package tcp

import (
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestChecksFailInADamagedStack(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"lo down, without its address": {
			Setup:  []string{"ip address flush dev lo", "ip link set lo down"},
			Filter: "tcp && !slow",
			Want:   onTheHost("cannot assign requested address"),
		},
		"RST lost": {
			Setup:  damage.Input("tcp flags & rst == rst drop"),
			Filter: "tcp",
			Want: map[string]string{
				"TCP-001": "context deadline exceeded",
				"TCP-003": "the refusal of closed port",
				"TCP-012": "the first read of a connection that was reset before it was accepted",
				"TCP-018": "a connection to port 0, 127.0.0.1:0",
				"TCP-021": "what the peer reads after a connect to AF_UNSPEC",
				"TCP-022": "what the client reads that waited",
				"TCP-024": "what the client reads that waited",
				"TCP-054": "the first read",
				"TCP-055": "the reset after an answer",
				"TCP-056": "what the peer reads",
				"TCP-058": "the reset that answers what was sent to a closed connection",
				"TCP-069": "the RST of a peer that aborted",
			},
		},
		"SYN refused with ICMP": {
			Setup:  damage.Input("tcp flags syn reject with icmpx type admin-prohibited"),
			Filter: "TCP-001",
			Want:   map[string]string{"TCP-001": "no route to host"},
		},
		"SYN refused with ICMP port unreachable": {
			Setup:  damage.Input("tcp flags syn reject with icmp type port-unreachable"),
			Filter: "TCP-001",
			Want:   map[string]string{"TCP-001": "ICMP error of type 3, code 3"},
		},
		"SYN that overflows is refused": {
			Setup:  damage.Input("tcp flags & (syn|ack) == syn limit rate over 1/hour burst 4 packets reject with tcp reset"),
			Filter: "TCP-005",
			Want:   map[string]string{"TCP-005": "ListenOverflows"},
		},
		"simultaneous open dropped": {
			Setup:  damage.Input("tcp flags & (syn|ack) == syn|ack drop"),
			Filter: "TCP-020",
			Want:   map[string]string{"TCP-020": "context deadline exceeded"},
		},
		"connections limited": {
			Setup:  damage.Input("tcp flags & (syn|ack) == syn limit rate over 1/hour burst 500 packets reject with tcp reset"),
			Filter: "TCP-029",
			Want:   map[string]string{"TCP-029": "connection 501 of 1000"},
		},
		"ephemeral ports used up": {
			Setup: []string{
				"sysctl -w net.ipv4.ip_local_port_range='40000 41199'",
				usePorts(40200, 40999),
			},
			Filter: "TCP-029",
			Want:   map[string]string{"TCP-029": "no ephemeral port is left"},
		},
		"payload rewritten": {
			// Behind 20 bytes of header and 12 of options.
			Setup:  damage.Input("meta length gt 1400 @th,8000,8 set 0x55"),
			Filter: "TCP-030 || TCP-031",
			Want:   map[string]string{"TCP-030": "and should be", "TCP-031": "SHA-256 of what arrived"},
		},
		"sent data answered with RST": {
			Sandboxes: damage.Input("tcp flags & psh == psh reject with tcp reset"),
			Filter:    "TCP-072",
			Want:      map[string]string{"TCP-072": "connection reset by peer"},
		},
		"FIN lost": {
			Setup:  damage.Input("tcp flags & fin == fin drop"),
			Filter: "TCP-051 || TCP-052",
			Want: map[string]string{
				"TCP-051": "i/o timeout",
				"TCP-052": "what the server reads after the client's FIN",
			},
		},
	})
}

// onTheHost is what a case wants where all checks must say the same that
// connect on the host.
func onTheHost(message string) map[string]string {
	want := damage.Every(message)
	maps.DeleteFunc(want, func(id, _ string) bool {
		return inSandbox(id) || slices.Contains(askOptionsOnly, id) || slices.Contains(useFreshSockets, id)
	})
	return want
}

func TestNarrowPortRangeIsASkip(t *testing.T) {
	outcomes := damage.Outcomes(t, []string{"sysctl -w net.ipv4.ip_local_port_range='40000 40999'"}, "TCP-029")
	NewWithT(t).Expect(outcomes["TCP-029"]).To(And(
		HaveField("State", check.Skip), HaveField("Message", ContainSubstring("ip_local_port_range"))))
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
