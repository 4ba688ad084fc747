package sweep

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

func TestRuns(t *testing.T) {
	reset := verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}
	accept := verdict.Verdict{Action: verdict.Accept}
	drop := verdict.Verdict{Action: verdict.Drop}
	at := func(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
	s := newTally(Sweep{Ports: []portset.Range{{First: 0, Last: 9}, {First: 12, Last: 14}, {First: 65534, Last: 65535}}})
	to := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port) }
	s.land(0, to(0), to(0))
	s.set(2, Run{Verdict: reset})
	s.set(3, Run{Verdict: reset})
	s.set(4, Run{Verdict: drop, Local: true})
	s.land(5, to(5), at("10.0.0.2:5")) // its own port
	s.land(6, to(6), at("10.0.0.2:6"))
	s.land(7, to(7), at("10.0.0.1:80"))
	s.land(9, to(9), to(9))
	s.land(12, to(12), to(12))
	s.set(65535, Run{Verdict: reset})
	s.set(65535, Run{Verdict: accept}) // what is known later holds
	want := []Run{
		{First: 0, Last: 0, Verdict: accept},
		{First: 1, Last: 1, Verdict: drop},
		{First: 2, Last: 3, Verdict: reset},
		{First: 4, Last: 4, Verdict: drop, Local: true},
		{First: 5, Last: 6, Verdict: accept, Landed: at("10.0.0.2:0")},
		{First: 7, Last: 7, Verdict: accept, Landed: at("10.0.0.1:80")},
		{First: 8, Last: 8, Verdict: drop},
		{First: 9, Last: 9, Verdict: accept},
		{First: 12, Last: 12, Verdict: accept},
		{First: 13, Last: 14, Verdict: drop},
		{First: 65534, Last: 65534, Verdict: drop},
		{First: 65535, Last: 65535, Verdict: accept},
	}
	if got := s.runs(); !reflect.DeepEqual(got, want) {
		t.Errorf("runs:\n%+v, want\n%+v", got, want)
	}
	undecided := []portset.Range{{First: 1, Last: 1}, {First: 8, Last: 8}, {First: 13, Last: 14}, {First: 65534, Last: 65534}}
	if got := s.undecided(); !reflect.DeepEqual(got, undecided) {
		t.Errorf("undecided: %v, want %v", got, undecided)
	}
}

// Numbers that were not asked change nothing, and a burst is numbered from 1.
func TestRunsOfBursts(t *testing.T) {
	s := newTally(Sweep{Burst: 4, Ports: []portset.Range{{First: 443, Last: 443}}})
	s.set(443, Run{Verdict: verdict.Verdict{Action: verdict.Accept}})
	s.set(2, Run{Verdict: verdict.Verdict{Action: verdict.Accept}})
	got := s.runs()
	if len(got) != 3 || got[0].First != 1 || got[1].First != 2 || got[1].Action != verdict.Accept || got[2].Last != 4 {
		t.Errorf("runs: %+v", got)
	}
}

// Every port may land at another place.
func TestManyLandings(t *testing.T) {
	s := newTally(Sweep{Ports: []portset.Range{{First: 0, Last: 65535}}})
	own := netip.MustParseAddr("10.0.0.1")
	for n := range 1 << 16 {
		s.land(uint16(n), netip.AddrPortFrom(own, uint16(n)), netip.AddrPortFrom(own, uint16(n)^1))
	}
	runs := s.runs()
	for _, r := range runs[:65535] {
		if r.Landed.Port() != r.First^1 || r.First != r.Last && r.Landed.Port() != 0 {
			t.Fatalf("%+v", r)
		}
	}
}
