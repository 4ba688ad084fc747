package addressing

import (
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestAnotherSourceIsTold(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"of a route": {
			Setup:  []string{"ip route replace local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.9"},
			Filter: "ADDR-012",
			Want:   map[string]string{"ADDR-012": "the source that a client of 127.1.1.1:"},
		},
		"translated": {
			Setup: []string{
				"nft add table ip nat", "nft add chain ip nat post '{ type nat hook postrouting priority 100; }'",
				"nft add rule ip nat post ip saddr 127.0.0.1 snat to 127.0.0.99",
			},
			Filter: "ADDR-012",
			Want:   map[string]string{"ADDR-012": "where the server at 127.0.0.1:"},
		},
	})
}
