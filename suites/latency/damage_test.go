package latency

import (
	"fmt"
	"syscall"
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

func TestChecksFailInADamagedStack(t *testing.T) {
	const lost = "no response within"
	// Each packet is looked for in one list after the other, so that the time stands
	// out beside whatever else runs. What earlier rounds left there is soon forgotten,
	// so that the later ones take no longer to open theirs.
	lists := []string{"mount -t tmpfs run /run"}
	for n := range 2 {
		lists = append(lists, fmt.Sprintf("iptables-legacy -A INPUT -p tcp -m hashlimit --hashlimit-name list%d --hashlimit-mode srcip,srcport,dstport --hashlimit-htable-size 1 --hashlimit-htable-max 100000 --hashlimit-htable-expire 2000 --hashlimit-htable-gcinterval 200 --hashlimit-upto 1/sec", n))
	}
	damage.Table(t, map[string]damage.Case{
		// A round trip takes some 90 ms, far more than a process waits for a processor
		// that others have. No burst makes up for one that came late.
		"a stack that crawls": {
			Setup:  []string{"tc qdisc add dev lo root tbf rate 24kbit burst 200 limit 30000"},
			Filter: "LAT-001",
			Want:   map[string]string{"LAT-001": "round trips"},
		},
		// A segment that is sent again waits 200 ms. Some are lost where others leave the
		// window few round trips.
		"one segment of 20 lost": {
			Setup:  damage.Input("meta l4proto tcp meta length gt 100 numgen inc mod 20 == 19 drop"),
			Filter: "LAT-005",
			Want:   map[string]string{"LAT-005": "a stall that nothing explains: one of"},
		},
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
		"two thousand rules, asked eight times": {
			Setup: []string{
				"nft add table inet broken",
				"nft add chain inet broken many",
				// A hundred at a time: netlink messages are as long as a socket's buffer.
				"seq 0 100 1900 | while read -r n; do seq $n $((n+99)) | sed 's/.*/add rule inet broken many meta l4proto { tcp, udp } th dport & drop/' | nft -f - || exit 1; done",
				"nft add chain inet broken in '{ type filter hook input priority 0; }'",
				"for n in $(seq 8); do nft add rule inet broken in jump many || exit 1; done",
			},
			Filter: "LAT-003 || LAT-004",
			Want:   map[string]string{"LAT-003": "tcp took", "LAT-004": "udp took"},
		},
		"TCP_NODELAY without effect": {
			Syscalls: []damage.Syscall{{Name: "setsockopt", Arguments: damage.Option(syscall.IPPROTO_TCP, syscall.TCP_NODELAY)}},
			Filter:   "LAT-006",
			Want:     map[string]string{"LAT-006": "exchanges that took 30ms or longer with two writes"},
		},
		"connections in lists": {
			Setup:  lists,
			Filter: "LAT-007",
			Want:   map[string]string{"LAT-007": "a round trip beside 1000 idle connections took"},
		},
		"twenty connections in two hundred": {
			Setup:  damage.Input("tcp flags & (syn|ack) == syn numgen inc mod 200 >= 20 reject with tcp reset"),
			Filter: "LAT-007",
			Want:   map[string]string{"LAT-007": "connections to hold: connection 21 of 1000"},
		},
		"a datagram rewritten, on each placement": {
			Setup:  damage.Input("meta l4proto udp numgen inc mod 10 == 9 @th,512,8 set 0xee"),
			Filter: "LAT-008",
			Want:   map[string]string{"LAT-008": "udp/rr/raw/same-core/64B, restart 1"},
		},
		"segments with data lost, on each placement": {
			Setup:  damage.Input("meta l4proto tcp meta length gt 100 drop"),
			Filter: "LAT-003 || LAT-005 || LAT-008",
			Want:   map[string]string{"LAT-003": lost, "LAT-005": lost, "LAT-008": lost},
		},
		"lo down, without its address": {
			Setup:  []string{"ip address flush dev lo", "ip link set lo down"},
			Filter: "latency",
			Want:   damage.Every("cannot assign requested address"),
		},
	})
}
