package sweep

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

var (
	inner4 = netip.MustParsePrefix("20.20.20.1/24")
	inner6 = netip.MustParsePrefix("2a10:20:20::1/64")
	outer4 = netip.MustParsePrefix("20.20.20.2/24")
	outer6 = netip.MustParsePrefix("2a10:20:20::2/64")
)

func world(t *testing.T, rules string) (*sandbox.Sandbox, Machine) {
	t.Helper()
	box, err := sandbox.Start(t.Context(), sandbox.Config{
		Zones: []string{"machine", "outside"},
		Links: []sandbox.Link{{
			A: sandbox.End{Zone: "machine", Name: "eth0", Addresses: []netip.Prefix{inner4, inner6}},
			B: sandbox.End{Zone: "outside", Name: "up0", Addresses: []netip.Prefix{outer4, outer6}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	if err := ruleset.LoadFileInto(t.Context(), box, "machine", ruleset.File{Name: "rules", Text: rules}); err != nil {
		t.Fatal(err)
	}
	return box, Machine{Zone: "machine", Cables: map[string]Cable{"outside": {Interface: "up0", Far: "eth0"}}}
}

func maps(zone string) []Sweep {
	var sweeps []Sweep
	all := []portset.Range{{First: 1, Last: 65535}}
	for _, p := range []Protocol{TCP, UDP} {
		four, six := Sweep{Zone: zone, Source: outer4.Addr(), To: inner4.Addr(), Protocol: p, Ports: all}, Sweep{Zone: zone, Source: outer6.Addr(), To: inner6.Addr(), Protocol: p, Ports: all}
		if zone == "machine" {
			four.Source, six.Source = netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
			four.To, six.To = four.Source, six.Source
		}
		sweeps = append(sweeps, four, six)
	}
	return sweeps
}

func TestTiming(t *testing.T) {
	rules := os.Getenv("RULES")
	if rules == "" {
		rules = "table inet f { chain i { type filter hook input priority 0; policy drop\n tcp dport { 22, 80, 443 } accept\n udp dport 53 accept\n tcp dport 8000-9000 reject with tcp reset\n udp dport 8000-9000 reject\n icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n }\n }"
	}
	box, machine := world(t, rules)
	for _, zone := range []string{"outside", "machine"} {
		for range 3 {
			start := time.Now()
			results, err := Ask(t.Context(), box, machine, maps(zone))
			t.Log(zone, time.Since(start), err)
			for _, runs := range results {
				t.Log(len(runs), runs[:min(10, len(runs))])
			}
		}
	}
}

func TestTraceTiming(t *testing.T) {
	box, machine := world(t, "table inet f {\n chain i {\n type filter hook input priority 0; policy drop\n tcp dport { 22, 80, 443 } accept\n udp dport 53 accept\n tcp dport 8000-9000 reject with tcp reset\n udp dport 8000-9000 reject\n icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n }\n }\n")
	for _, zone := range []string{"outside", "machine"} {
		sweeps := maps(zone)
		for i := range sweeps {
			sweeps[i].Ports = []portset.Range{{First: 20, Last: 30}, {First: 7900, Last: 8100}}
		}
		start := time.Now()
		ways, err := Trace(t.Context(), box, machine, sweeps)
		t.Log(zone, time.Since(start), err, len(ways))
		for _, w := range ways {
			if w.Number == 22 || w.Number == 23 || w.Number == 8000 {
				d, ok := w.Decision()
				t.Log(w.Sweep, w.Number, d, ok, len(w.Steps))
			}
		}
	}
}
