package firewall

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

var (
	accepted = verdict.Verdict{Action: verdict.Accept}
	dropped  = verdict.Verdict{Action: verdict.Drop}
	reset    = verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}
)

// drawn are the decisions that random maps choose from. Rules 0 and 1 differ in
// their handles only.
var drawn = []Range{
	{Verdict: accepted, Rule: -1},
	{Verdict: accepted, Rule: 0},
	{Verdict: accepted, Rule: 1},
	{Verdict: accepted, Rule: 2, Landed: netip.MustParseAddrPort("20.20.20.1:8080")},
	{Verdict: accepted, Rule: 2, Landed: netip.MustParseAddrPort("192.0.2.7:0")},
	{Verdict: dropped, Rule: 3},
	{Verdict: dropped, Rule: 3, Local: true},
	{Verdict: reset, Rule: 3},
	{Verdict: verdict.Verdict{Action: verdict.Reject, Kind: "icmp port-unreachable"}, Rule: 1},
}

var drawnRules = []Rule{
	{Family: "inet", Table: "filter", Chain: "input", Handle: 4, Text: "tcp dport 22 accept"},
	{Family: "inet", Table: "filter", Chain: "input", Handle: 7, Text: "tcp dport 22 accept"},
	{Family: "ip", Table: "nat", Chain: "prerouting", Handle: 2, Text: "redirect to :8080", File: "rules", Line: 3},
	{Family: "inet", Table: "filter", Chain: "input", Text: "policy drop"},
}

// mapsOf are maps of one zone with these ranges over IPv4.
func mapsOf(ranges ...Range) *Maps {
	return &Maps{
		SchemaVersion: MapSchema, Source: "rules",
		Zones: []Place{{Zone: Outside, Interface: "eth0", From: []netip.Addr{netip.MustParseAddr("20.20.20.2")}, To: []netip.Addr{netip.MustParseAddr("20.20.20.1")}}},
		Maps:  []Map{{Zone: Outside, Protocol: "tcp", Family: "ipv4", Ranges: ranges}},
		Rules: slices.Clone(drawnRules),
	}
}

// randomRanges make up all ports, most of the time by few ranges.
func randomRanges(r *rand.Rand) []Range {
	longest := []int{3, 400, 20000, 65535}[r.IntN(4)]
	var ranges []Range
	for first := 1; first <= 65535; {
		last := min(first+r.IntN(longest), 65535)
		its := drawn[r.IntN(len(drawn))]
		its.First, its.Last = uint16(first), uint16(last)
		ranges = append(ranges, its)
		first = last + 1
	}
	return ranges
}

// What the ranges tell of all ports is what comparing them one by one tells, and
// no two ranges could be one.
func TestDiffIsThatOfEveryPort(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range 12 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		base, after := mapsOf(randomRanges(r)...), mapsOf(randomRanges(r)...)
		d := Diff(base, after)
		told := map[uint16]Change{}
		for _, c := range d.Changes {
			for port := range portset.Of(c.Range).All() {
				if _, twice := told[port]; twice {
					t.Fatalf("port %d is told twice", port)
				}
				told[port] = c
			}
			if earlier, told := told[c.First-1]; told && alike(earlier) == alike(c) {
				t.Fatalf("%s and %s are not joined", earlier.Range, c.Range)
			}
		}
		for port := 1; port <= 65535; port++ {
			a, _ := base.Maps[0].At(uint16(port))
			b, _ := after.Maps[0].At(uint16(port))
			want := naive(a, b)
			got, changed := told[uint16(port)]
			if got.Effect != want {
				t.Fatalf("port %d, %s and then %s: %q, want %q", port, a.Outcome(), b.Outcome(), got.Effect, want)
			}
			if changed && (got.Before.Outcome() != a.Outcome() || got.After.Outcome() != b.Outcome() || said(got.Before.Rule) != saidBy(base, a) || said(got.After.Rule) != saidBy(after, b)) {
				t.Fatalf("port %d: %+v, want %+v and then %+v", port, got, a, b)
			}
		}
	}
}

func naive(a, b Range) Effect {
	before, after := a.Outcome(), b.Outcome()
	switch {
	case before == after:
		return ""
	case a.Action != b.Action && b.Action == verdict.Accept:
		return Opened
	case a.Action != b.Action && a.Action == verdict.Accept:
		return Closed
	}
	return Altered
}

func said(r *Rule) string {
	if r == nil {
		return ""
	}
	return r.Chain + ": " + r.Text
}

func saidBy(m *Maps, r Range) string {
	if r.Rule < 0 {
		return ""
	}
	return said(&m.Rules[r.Rule])
}

// alike is what neighbours have in common that ought to be one.
func alike(c Change) string {
	return fmt.Sprint(c.Effect, c.Before.Outcome(), said(c.Before.Rule), c.After.Outcome(), said(c.After.Rule))
}

func TestDiffWithItselfIsEmpty(t *testing.T) {
	for i := range 20 {
		m := mapsOf(randomRanges(rand.New(rand.NewPCG(1, uint64(i))))...)
		if d := Diff(m, m); len(d.Changes) > 0 || len(d.Uncompared) > 0 {
			t.Fatalf("%+v", d)
		}
	}
}

func with(r Range, first, last uint16) Range {
	r.First, r.Last = first, last
	return r
}

func TestDiffTellsOpeningsFirst(t *testing.T) {
	base := mapsOf(with(drawn[1], 1, 22), with(drawn[5], 23, 100), with(drawn[5], 101, 65535))
	after := mapsOf(with(drawn[5], 1, 21), with(drawn[2], 22, 22), with(drawn[7], 23, 90), with(drawn[2], 91, 95), with(drawn[1], 96, 110), with(drawn[6], 111, 65535))
	var got []string
	for _, c := range Diff(base, after).Changes {
		got = append(got, string(c.Effect)+" "+c.String())
	}
	if diff := cmp.Diff([]string{"opened 91-110", "closed 1-21", "altered 23-90"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDiffPutsFamiliesTogether(t *testing.T) {
	six := func(m *Maps) *Maps {
		m.Maps = append(m.Maps, Map{Zone: Outside, Protocol: "tcp", Family: "ipv6", Ranges: m.Maps[0].Ranges})
		return m
	}
	d := Diff(six(mapsOf(with(drawn[5], 1, 65535))), six(mapsOf(with(drawn[1], 1, 65535))))
	if len(d.Changes) != 1 || !slices.Equal(d.Changes[0].Families, []string{"ipv4", "ipv6"}) || d.Count(Opened) != 1 {
		t.Errorf("%+v", d.Changes)
	}
}

func TestDiffTellsWhatIsInOneOnly(t *testing.T) {
	base, after := mapsOf(with(drawn[5], 1, 65535)), mapsOf(with(drawn[1], 1, 65535))
	for _, protocol := range []string{"tcp", "udp"} {
		base.Maps = append(base.Maps, Map{Zone: "docker0", Protocol: protocol, Family: "ipv4"})
	}
	after.Maps = append(after.Maps, Map{Zone: Outside, Protocol: "udp", Family: "ipv6"})
	want := []Uncompared{{In: "base", Zone: "docker0"}, {In: "new", Zone: Outside, Protocol: "udp", Family: "ipv6"}}
	if diff := cmp.Diff(want, Diff(base, after).Uncompared); diff != "" {
		t.Error(diff)
	}
}

// A machine that has another address than before still redirects to itself.
func TestDiffKnowsTheMachinesOwnAddress(t *testing.T) {
	base, after := mapsOf(with(drawn[3], 1, 65535)), mapsOf(with(drawn[3], 1, 65535))
	after.Zones[0].To[0] = netip.MustParseAddr("198.51.100.9")
	after.Maps[0].Ranges[0].Landed = netip.MustParseAddrPort("198.51.100.9:8080")
	if d := Diff(base, after); len(d.Changes) > 0 {
		t.Errorf("%+v", d.Changes)
	}
	after.Maps[0].Ranges[0].Landed = netip.MustParseAddrPort("20.20.20.1:8080")
	if d := Diff(base, after); d.Count(Altered) != 1 {
		t.Errorf("%+v", d.Changes)
	}
}

func TestDiffAsJSON(t *testing.T) {
	text, err := json.Marshal(Diff(mapsOf(with(drawn[5], 1, 65535)), mapsOf(with(drawn[3], 1, 65535))))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"schema_version":"1","base":"rules","new":"rules","changes":[{"effect":"opened","zone":"outside","protocol":"tcp","families":["ipv4"],"first":1,"last":65535,` +
		`"before":{"action":"drop","rule":{"family":"inet","table":"filter","chain":"input","text":"policy drop"}},` +
		`"after":{"action":"accept","landed":"20.20.20.1:8080","rule":{"family":"ip","table":"nat","chain":"prerouting","handle":2,"text":"redirect to :8080","file":"rules","line":3}}}],"uncompared":[]}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}
