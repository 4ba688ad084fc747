package ping

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestErrorsOfIPv6AreMissed(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"lost": {
			Setup:  damage.Input("icmpv6 type destination-unreachable drop"),
			Filter: "PING-014",
			Want:   map[string]string{"PING-014": "await an ICMP error from [::1]"},
		},
		"another code": {
			Setup:  damage.Input("meta nfproto ipv6 meta l4proto udp reject with icmpv6 type admin-prohibited"),
			Filter: "PING-014",
			Want:   map[string]string{"PING-014": "ICMPv6 type and code in the error queue"},
		},
	})
}
