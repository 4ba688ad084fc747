package firewall

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/stage"
)

func TestNetworksHaveRoomForAHost(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.5/24":     "10.0.0.5/24",
		"10.0.0.5/32":     "10.0.0.5/30",
		"10.0.0.7/32":     "10.0.0.7/28",
		"10.0.0.8/31":     "10.0.0.8/28",
		"10.0.0.255/23":   "10.0.0.255/23",
		"10.0.1.0/32":     "10.0.1.0/23",
		"2001:db8::5/128": "2001:db8::5/126",
		"2001:db8::5/64":  "2001:db8::5/64",
	} {
		got := withNeighbours(netip.MustParsePrefix(address))
		if got.String() != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
		if host := stage.Host(got); !got.Contains(host) || host == got.Masked().Addr() {
			t.Errorf("%s: the host has %s", got, host)
		}
	}
}

// The zones of a real machine are at its interfaces, with its addresses.
func TestZonesOfARealMachine(t *testing.T) {
	r := &Rules{Source: Live, Ruleset: &ruleset.Ruleset{}, around: surroundings{
		uplink: "ens3",
		addresses: map[string][]netip.Prefix{
			"ens3":  {netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("192.0.2.10/24"), netip.MustParsePrefix("2001:db8::9/64")},
			"wlan0": {netip.MustParsePrefix("192.0.2.99/24")},
		},
	}}
	zones := zonesOf(r, Options{})
	if got, want := fmt.Sprint(zones), "[{outside ens3 [192.0.2.9/24 2001:db8::9/64] []}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	made := stage.Defaults(1)
	if got, want := fmt.Sprint(r.around.at("wlan0", 1, zones)), fmt.Sprint(made); got != want {
		t.Errorf("in a network that is there already: got %s, want %s", got, want)
	}
	given := []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}
	zones = zonesOf(r, Options{Uplink: "eth1", Address: given})
	if got, want := fmt.Sprint(zones), "[{outside eth1 [198.51.100.1/24] []}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
