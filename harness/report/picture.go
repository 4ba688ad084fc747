package report

import (
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// mapPicture is a map as 256 rows of 256 cells, port 0 at the top left. There is
// nothing at port 0, which cannot be asked.
type mapPicture struct {
	Label string // the picture in words
	Areas []area
}

// area is the ports of one colour.
type area struct {
	Class string // of the style sheet
	Name  string
	N     int    // how many ports
	Path  string // of SVG 1.1, chapter 8; a unit is a cell
}

// fill is how cells are coloured.
type fill struct{ class, name string }

// fills are in the order of the legend.
var fills = []fill{
	{"fw-accept", "accept"},
	{"fw-elsewhere", "accept elsewhere"},
	{"fw-reset", "reject with tcp-reset"},
	{"fw-reject", "reject with ICMP"},
	{"fw-drop", "drop"},
}

func fillOf(r firewall.Range) fill {
	switch {
	case r.Action == verdict.Accept && r.Landed.IsValid():
		return fills[1]
	case r.Action == verdict.Accept:
		return fills[0]
	case r.Action == verdict.Reject && r.Kind == verdict.TCPReset:
		return fills[2]
	case r.Action == verdict.Reject:
		return fills[3]
	}
	return fills[4]
}

// cellsPerRow makes a square of the 65,536 ports.
const cellsPerRow = 256

// areasOf gathers the ports of each colour.
func areasOf(ranges []firewall.Range) []area {
	of := map[fill][]portset.Range{}
	for _, r := range ranges {
		of[fillOf(r)] = append(of[fillOf(r)], portset.Range{First: r.First, Last: r.Last})
	}
	var areas []area
	for _, f := range fills {
		if len(of[f]) == 0 {
			continue
		}
		a := area{Class: f.class, Name: f.name}
		var path strings.Builder
		for _, r := range portset.Of(of[f]...).Ranges() { // those next to one another are one
			a.N += r.Len()
			outline(&path, int(r.First), int(r.Last))
		}
		a.Path = path.String()
		areas = append(areas, a)
	}
	return areas
}

// outline adds the cells of a range: what is left of its first row, the rows that
// are full, and the beginning of the last.
func outline(path *strings.Builder, first, last int) {
	for first <= last {
		x, y := first%cellsPerRow, first/cellsPerRow
		width, height := min(cellsPerRow-x, last-first+1), 1
		if width == cellsPerRow {
			height = (last - first + 1) / cellsPerRow
		}
		rectangle(path, x, y, width, height)
		first += width * height
	}
}

func rectangle(path *strings.Builder, x, y, width, height int) {
	for _, step := range []struct {
		command string
		number  int
	}{{"M", x}, {" ", y}, {"h", width}, {"v", height}, {"h", -width}} {
		path.WriteString(step.command)
		path.WriteString(strconv.Itoa(step.number))
	}
	path.WriteString("z")
}
