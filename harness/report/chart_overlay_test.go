package report

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
)

// Both sides are in each chart, the base dashed. Without figures that can be trusted,
// or without a histogram, there is what the restarts tell.
func TestOverlaysHaveBothSides(t *testing.T) {
	base, after := benchtest.Results()[0], benchtest.Results()[0]
	titles := func() (all []string) {
		for _, c := range Overlay(base, after) {
			all = append(all, c.Title)
			if d := drawingOf(t, c); len(d.Lines) != 2 || d.Lines[0].Name != "base" || !d.Lines[0].Dashed || d.Lines[1].Name != "new" || d.Lines[1].Dashed {
				t.Errorf("%s: lines %+v", c.Title, d.Lines)
			}
		}
		return all
	}
	if diff := cmp.Diff([]string{"Percentiles", "Distribution", "Median, restart by restart"}, titles()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	after.Inconclusive = "6 of 10 restarts are tainted: steal"
	if diff := cmp.Diff([]string{"Median, restart by restart"}, titles()); diff != "" {
		t.Errorf("of one that is inconclusive (-want +got):\n%s", diff)
	}
	after.Restarts = after.Restarts[:1]
	if found := titles(); found != nil {
		t.Errorf("of a single restart: %q", found)
	}
}

// Runs of different lengths end at places of their own, and share an axis; of
// distributions all samples are there, whichever side has more.
func TestOverlaysOfUnequalLength(t *testing.T) {
	s := bench.Spec{Transport: bench.TCP}
	charts := Overlay(benchtest.Result(s, 14_000, 1_000), benchtest.Result(s, 15_000, 100_000))
	d := drawingOf(t, charts[0])
	last := len(d.At) - 1
	if d.Lines[0].Points[last] != nil || d.Lines[1].Points[last] == nil || d.Lines[0].Points[0] == nil {
		t.Errorf("the shorter ends at %v, the longer at %v", d.Lines[0].Points[last], d.Lines[1].Points[last])
	}
	for _, l := range drawingOf(t, charts[1]).Lines {
		sum := 0.0
		for _, p := range l.Points {
			sum += *p
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("the shares of %s add up to %g", l.Name, sum)
		}
	}
}

// Of very many restarts the last are drawn, by their numbers.
func TestOverlaysOfManyRestarts(t *testing.T) {
	r := benchtest.Results()[1]
	for len(r.Restarts) < 250 {
		r.Restarts = append(r.Restarts, r.Restarts...)
	}
	r.Restarts = r.Restarts[:250]
	c, _ := restartsOverlay(r.Restarts, r.Restarts)
	d := drawingOf(t, c)
	if len(d.At) != 100 || d.At[0] != 151 || len(c.Table.Rows) != 100 || !strings.HasSuffix(c.Note, "The last 100 of 250.") {
		t.Errorf("%d places from %v, %d rows: %s", len(d.At), d.At[0], len(c.Table.Rows), c.Note)
	}
	if len(d.Taint) == 0 || !strings.HasPrefix(d.Taint[0].Name, "base steal, new ") {
		t.Errorf("tainted: %+v", d.Taint)
	}
}
