package sweep

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/probe/portset"
)

// Sweeps share a recording, but for those whose packets answer one another or
// begin the same connections.
func TestGroups(t *testing.T) {
	const lo = "machine"
	own := netip.MustParseAddr("127.0.0.1")
	way := func(from uint16, to ...portset.Range) Sweep {
		return Sweep{Zone: lo, Source: own, To: own, Protocol: UDP, SourcePort: from, Ports: to}
	}
	established := way(0, portset.Range{First: 1, Last: 65535})
	established.State = Established
	outside := Sweep{Zone: "outside", Source: from4, To: to4, Protocol: UDP, SourcePort: 53, Ports: []portset.Range{{First: 53, Last: 53}}}
	ping := Sweep{Zone: lo, Source: own, To: own, Protocol: ICMP, Ports: []portset.Range{{First: 8, Last: 8}}}
	answering := ping
	answering.Ports = []portset.Range{{First: 0, Last: 0}}
	sweeps := []Sweep{
		way(0, portset.Range{First: 1, Last: 65535}),
		way(123, portset.Range{First: 1, Last: 99}),
		way(123, portset.Range{First: 124, Last: 124}),
		way(124, portset.Range{First: 123, Last: 123}),
		established,
		way(123, portset.Range{First: 54000, Last: 55000}),
		way(125, portset.Range{First: 123, Last: 124}),
		outside,
		way(0, portset.Range{First: 22, Last: 22}),
		way(123, portset.Range{First: 98, Last: 100}),
		ping, established, ping, answering,
	}
	want := [][]int{{0, 1, 2, 6, 7, 10, 13}, {3, 5, 8, 9, 12}, {4, 11}}
	if diff := cmp.Diff(want, groups(Machine{Zone: lo}, sweeps)); diff != "" {
		t.Error(diff)
	}
}
