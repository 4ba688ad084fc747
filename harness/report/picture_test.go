package report

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// painted counts how often each cell is painted by a path.
func painted(t *testing.T, path string) map[int]int {
	t.Helper()
	cells := map[int]int{}
	one := regexp.MustCompile(`^M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z`)
	for path != "" {
		m := one.FindStringSubmatch(path)
		if m == nil {
			t.Fatalf("no rectangle: %.40s", path)
		}
		path = path[len(m[0]):]
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		x, y, width, height := n[0], n[1], n[2], n[3]
		if width != n[4] || x+width > cellsPerRow || y+height > cellsPerRow || width == 0 || height == 0 {
			t.Fatalf("a bad rectangle %s", m[0])
		}
		for row := y; row < y+height; row++ {
			for column := x; column < x+width; column++ {
				cells[row*cellsPerRow+column]++
			}
		}
	}
	return cells
}

// Every port is painted once, in the colour of its verdict, and few rectangles
// do it.
func TestAPictureHasEveryPortOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	verdicts := []firewall.Range{
		{Verdict: verdict.Verdict{Action: verdict.Accept}},
		{Verdict: verdict.Verdict{Action: verdict.Drop}},
		{Verdict: verdict.Verdict{Action: verdict.Drop}, Rule: 1}, // the colour of the one before
		{Verdict: verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}},
		{Verdict: verdict.Verdict{Action: verdict.Reject, Kind: "icmp port-unreachable"}},
	}
	for _, longest := range []int{1, 3, 300, 20000, 65535} {
		t.Run(fmt.Sprint(longest), func(t *testing.T) {
			var ranges []firewall.Range
			want := map[int]string{}
			for first := 1; first <= 65535; {
				last := min(first+random.IntN(longest), 65535)
				r := verdicts[random.IntN(len(verdicts))]
				r.First, r.Last = uint16(first), uint16(last)
				ranges = append(ranges, r)
				for port := first; port <= last; port++ {
					want[port] = fillOf(r).class
				}
				first = last + 1
			}
			seen, counted := 0, 0
			for _, a := range areasOf(ranges) {
				counted += a.N
				for cell, times := range painted(t, a.Path) {
					seen++
					if times != 1 || want[cell] != a.Class {
						t.Fatalf("port %d is painted %d times as %s, want once as %q", cell, times, a.Class, want[cell])
					}
				}
			}
			if seen != 65535 || counted != 65535 {
				t.Errorf("%d ports are painted and %d counted", seen, counted)
			}
		})
	}
}

// What a report that was read says of its ports may be anything.
func TestAPictureOfNonsense(t *testing.T) {
	areas := areasOf([]firewall.Range{{First: 9, Last: 3}, {First: 5, Last: 7}, {First: 6, Last: 6}})
	if len(areas) != 1 || areas[0].N != 3 || len(painted(t, areas[0].Path)) != 3 {
		t.Errorf("areas %+v", areas)
	}
	if a := areasOf([]firewall.Range{{First: 9, Last: 3}}); len(a) != 1 || a[0].N != 0 {
		t.Errorf("areas %+v", a)
	}
}
