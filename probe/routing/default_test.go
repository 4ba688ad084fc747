package routing

import (
	"net/netip"
	"testing"
)

func TestDefaultOf(t *testing.T) {
	all := netip.MustParsePrefix("0.0.0.0/0")
	routes := []Route{
		{To: netip.MustParsePrefix("10.0.0.0/8"), Type: "unicast", Table: mainTable, Interface: "eth0"},
		{To: all, Type: "blackhole", Table: mainTable},
		{To: all, Type: "unicast", Table: 100, Interface: "wg0"},
		{To: all, Type: "unicast", Table: mainTable, Interface: "wlan0", Priority: 600},
		{To: all, Type: "unicast", Table: mainTable, Interface: "ens3", Priority: 100},
	}
	if got := defaultOf(routes); got != "ens3" {
		t.Errorf("got %q", got)
	}
	if got := defaultOf(routes[:3]); got != "" {
		t.Errorf("got %q where there is none", got)
	}
}
