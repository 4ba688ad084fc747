package nftrace

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// event is a step of a packet; with a head it is a base chain's first.
func event(id uint32, chain string, handle uint64, code Code, h *Head) Event {
	e := Event{ID: id, Family: "ip", Table: "t", Chain: chain, Type: Rule, Handle: handle, Verdict: Verdict{Code: code}, Protocol: "ip", Head: h}
	if handle == 0 {
		e.Type = Policy
	}
	return e
}

func leaving(network ...byte) *Head { return &Head{Out: &Interface{Index: 1}, Network: network} }
func coming(network ...byte) *Head  { return &Head{In: &Interface{Index: 1}, Network: network} }

// shape is what a packet went through, short.
type shape struct {
	IDs   []uint32
	Steps []string
	By    string
}

func shapes(events ...Event) []shape {
	var g Gatherer
	for _, e := range events {
		g.Add(e)
	}
	var all []shape
	for _, p := range g.Packets() {
		s := shape{IDs: p.IDs}
		for _, t := range p.Traversals {
			for _, step := range t.Steps {
				s.Steps = append(s.Steps, step.Chain+" "+step.Verdict.String())
			}
		}
		if step, decided := p.Decision(); decided {
			s.By = step.String()
		}
		all = append(all, s)
	}
	return all
}

func TestGather(t *testing.T) {
	accept := "ip t in: policy accept"
	mark := Event{ID: 1, Family: "inet", Table: tablePrefix + "1_1", Chain: "output", Type: Policy, Verdict: Verdict{Code: Accept}, Head: leaving(1)}
	for _, c := range []struct {
		name   string
		events []Event
		want   []shape
	}{
		{
			"a later chain drops what an earlier accepted",
			[]Event{event(1, "first", 7, Accept, leaving(1)), event(1, "second", 8, Drop, leaving(1))},
			[]shape{{[]uint32{1}, []string{"first accept", "second drop"}, "ip t second: rule with handle 8: drop"}},
		},
		{
			"over lo the number changes",
			[]Event{event(1, "out", 0, Accept, leaving(1)), event(2, "in", 0, Accept, coming(1))},
			[]shape{{[]uint32{1, 2}, []string{"out accept", "in accept"}, accept}},
		},
		{
			"another packet over lo",
			[]Event{event(1, "out", 0, Accept, leaving(1)), event(2, "in", 0, Accept, coming(2))},
			[]shape{{[]uint32{1}, []string{"out accept"}, "ip t out: policy accept"}, {[]uint32{2}, []string{"in accept"}, accept}},
		},
		{
			"what was dropped does not come in",
			[]Event{event(1, "out", 0, Drop, leaving(1)), event(2, "in", 0, Accept, coming(1))},
			[]shape{{[]uint32{1}, []string{"out drop"}, "ip t out: policy drop"}, {[]uint32{2}, []string{"in accept"}, accept}},
		},
		{
			"a number comes back after a drop",
			[]Event{event(1, "out", 3, Drop, leaving(1)), event(1, "out", 3, Drop, leaving(1))},
			[]shape{
				{[]uint32{1}, []string{"out drop"}, "ip t out: rule with handle 3: drop"},
				{[]uint32{1}, []string{"out drop"}, "ip t out: rule with handle 3: drop"},
			},
		},
		{
			"a number comes back at a chain that it passed",
			[]Event{event(1, "in", 0, Accept, coming(1)), event(1, "in", 0, Accept, coming(1))},
			[]shape{{[]uint32{1}, []string{"in accept"}, accept}, {[]uint32{1}, []string{"in accept"}, accept}},
		},
		{
			"two packets at once",
			[]Event{
				event(1, "in", 5, Jump, coming(1)), event(2, "in", 0, Accept, coming(2)),
				event(1, "sub", 6, Drop, nil),
			},
			[]shape{
				{[]uint32{1}, []string{"in jump", "sub drop"}, "ip t sub: rule with handle 6: drop"},
				{[]uint32{2}, []string{"in accept"}, accept},
			},
		},
		{
			"a queued packet goes on",
			[]Event{event(1, "in", 5, Queue, coming(1)), event(1, "later", 0, Accept, coming(1))},
			[]shape{{[]uint32{1}, []string{"in queue to 0", "later accept"}, "ip t in: rule with handle 5: queue to 0"}},
		},
		{
			"messages that were lost",
			[]Event{event(1, "sub", 6, Continue, nil)},
			[]shape{{[]uint32{1}, []string{"sub continue"}, ""}},
		},
		{
			"the mark's head was lost",
			[]Event{event(1, "out", 5, Accept, leaving(1)), headless(mark)},
			[]shape{{[]uint32{1}, []string{"out accept"}, "ip t out: rule with handle 5: accept"}},
		},
		{
			"a chain's head was lost",
			[]Event{mark, event(1, "in", 5, Drop, nil)},
			[]shape{{[]uint32{1}, []string{"in drop"}, "ip t in: rule with handle 5: drop"}},
		},
		{
			"marked, and met nothing",
			[]Event{mark},
			[]shape{{[]uint32{1}, nil, ""}},
		},
		{
			"marked, and met a chain",
			[]Event{mark, event(1, "out", 0, Accept, leaving(1))},
			[]shape{{[]uint32{1}, []string{"out accept"}, "ip t out: policy accept"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, shapes(c.events...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func headless(e Event) Event {
	e.Head = nil
	return e
}

func TestPacketsShareNothing(t *testing.T) {
	var g Gatherer
	before := g.Add(event(1, "in", 5, Continue, coming(1)))
	held := slices.Clone(before.Traversals[0].Steps)
	g.Add(event(1, "in", 0, Drop, nil))
	if diff := cmp.Diff(held, before.Traversals[0].Steps); diff != "" {
		t.Errorf("the packet changed afterwards:\n%s", diff)
	}
	after := g.Packets()[0]
	if by, dropped := after.Dropped(); !dropped || by.Type != Policy {
		t.Errorf("dropped: %v by %v", dropped, by)
	}
	if rules := after.Rules(); len(rules) != 1 || rules[0].Handle != 5 {
		t.Errorf("rules: %v", rules)
	}
}
