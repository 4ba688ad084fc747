package sweep

import (
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// tally is what is known of each packet of a sweep.
type tally struct {
	numbers []portset.Range
	// fates are by number, an index into outcomes; 0 is a drop.
	fates    []uint16
	outcomes []Run
	index    map[Run]uint16
}

var dropped = Run{Verdict: verdict.Verdict{Action: verdict.Drop}}

func newTally(s Sweep) *tally {
	t := &tally{numbers: s.numbers(), outcomes: []Run{dropped}, index: map[Run]uint16{dropped: 0}}
	last := uint16(0)
	for _, r := range t.numbers {
		last = max(last, r.Last)
	}
	t.fates = make([]uint16, int(last)+1)
	return t
}

// numbers are the packets' own: their ports, or their places in a burst.
func (s Sweep) numbers() []portset.Range {
	if s.Burst > 0 {
		return []portset.Range{{First: 1, Last: s.Burst}}
	}
	return s.Ports
}

// packets is how many there are.
func (s Sweep) packets() (n int) {
	for _, r := range s.numbers() {
		n += r.Len()
	}
	return n
}

// set notes what became of a packet.
func (t *tally) set(number uint16, outcome Run) {
	if int(number) >= len(t.fates) {
		return
	}
	i, known := t.index[outcome]
	if !known {
		i = uint16(len(t.outcomes))
		if int(i) != len(t.outcomes) {
			return // more landings than numbers of ports: the last ones are left out
		}
		t.outcomes, t.index[outcome] = append(t.outcomes, outcome), i
	}
	t.fates[number] = i
}

// land notes where an accepted packet came to.
func (t *tally) land(number uint16, sentTo netip.AddrPort, at netip.AddrPort) {
	outcome := Run{Verdict: verdict.Verdict{Action: verdict.Accept}}
	if at != sentTo {
		if at.Port() == sentTo.Port() {
			at = netip.AddrPortFrom(at.Addr(), 0)
		}
		outcome.Landed = at
	}
	t.set(number, outcome)
}

// undecided are the packets of which nothing is known, which are dropped unless
// something was lost on the way.
func (t *tally) undecided() []portset.Range {
	var ranges []portset.Range
	for _, r := range t.numbers {
		for n := int(r.First); n <= int(r.Last); n++ {
			if t.fates[n] != 0 {
				continue
			}
			if k := len(ranges); k > 0 && int(ranges[k-1].Last) == n-1 {
				ranges[k-1].Last = uint16(n)
				continue
			}
			ranges = append(ranges, portset.Range{First: uint16(n), Last: uint16(n)})
		}
	}
	return ranges
}

// runs puts what is next to one another and alike into one.
func (t *tally) runs() []Run {
	var runs []Run
	last := -1
	for _, r := range t.numbers {
		for n := int(r.First); n <= int(r.Last); n++ {
			fate := int(t.fates[n])
			if k := len(runs); k > 0 && last == fate && int(runs[k-1].Last) == n-1 {
				runs[k-1].Last = uint16(n)
				continue
			}
			run := t.outcomes[fate]
			run.First, run.Last = uint16(n), uint16(n)
			runs, last = append(runs, run), fate
		}
	}
	return runs
}
