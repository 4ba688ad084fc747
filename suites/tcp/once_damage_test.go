package tcp

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestMarkedAndDoubledSegmentsAreTold(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"marked": {
			Setup: []string{
				"sysctl -qw net.ipv4.tcp_ecn=1", "nft add table inet marks", "nft add chain inet marks output '{ type filter hook output priority 0; }'",
				"nft add rule inet marks output ip ecn != not-ect ip ecn set ce",
			},
			Filter: "TCP-084",
			Want:   map[string]string{"TCP-084": "in each of 4 transfers"},
		},
		"doubled": {
			Setup: []string{
				"nft add table ip double", "nft add chain ip double output '{ type filter hook output priority 0; }'",
				"nft add rule ip double output meta l4proto tcp dup to 127.0.0.1 device lo",
			},
			Filter: "TCP-084",
			Want:   map[string]string{"TCP-084": "reported twice"},
		},
	})
}
