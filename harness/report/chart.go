package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

var (
	//go:embed uplot/uPlot.iife.min.js
	uplotJS string
	//go:embed uplot/uPlot.min.css
	uplotCSS string
	//go:embed charts.js
	chartsJS string
	//go:embed charts.css
	chartsCSS string
	//go:embed charts.html
	chartsHTML string
)

// Chart is lines over an axis. Where scripts run the page draws it with uPlot;
// everywhere its figures stand in a table: one of its own, or one that Note names.
// The template "chart" writes it, on a page with the head of NewChartHead.
type Chart struct {
	Title string
	Label string // what it shows, in words
	Note  string // how it is read; may be empty
	Lines []ChartLine
	Table *ChartTable
	// Still is the picture that stands there where no script runs; nil where there
	// is none.
	Still *distribution

	x, y  axisForm
	at    points // of all lines, along x
	marks []chartMark
	taint []chartMark
	bars  bool
}

// ChartLine is a line of a chart.
type ChartLine struct {
	Name   string
	Off    bool // not shown until it is asked for
	Key    int  // its colour: two of a chart may have one where there are many
	Dashed bool

	points points // as many as the chart has along x
}

// ChartTable is the figures of a chart.
type ChartTable struct {
	Columns []string // the first names the rows
	Rows    [][]string
}

const (
	// chartColours are those of the style sheet, and shownLines how many lines of a
	// chart are drawn without being asked for: as many as can be told apart.
	chartColours = 8
	shownLines   = chartColours
)

// Kinds of axes, which charts.js draws.
const (
	axisLatency = "latency" // nanoseconds, logarithmic
	axisCount   = "count"   // samples, from 0
	axisShare   = "share"   // of all samples, from 0
	axisRestart = "restart" // the number of a restart
	axisTail    = "tail"    // tailOf a percentile
	axisNamed   = "named"   // positions that Ticks name
)

// axisForm is what the script is told of an axis.
type axisForm struct {
	Name  string      `json:"name"`
	Kind  string      `json:"kind"`
	Ticks []chartMark `json:"ticks,omitempty"`
}

// chartMark is a position along x with its name.
type chartMark struct {
	At   float64 `json:"at"`
	Name string  `json:"name"`
	// Mode says that it is a peak, where others are percentiles.
	Mode bool `json:"mode,omitempty"`
}

// points are numbers; NaN stands for none.
type points []float64

// MarshalJSON writes six significant digits, more than a chart shows, and null for
// what there is not.
func (p points) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, v := range p {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			out = append(out, "null"...)
			continue
		}
		rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
		if err != nil {
			return nil, err
		}
		out = strconv.AppendFloat(out, rounded, 'f', -1, 64)
	}
	return append(out, ']'), nil
}

// Data is the chart as charts.js reads it.
func (c Chart) Data() (string, error) {
	type line struct {
		Name   string `json:"name"`
		Key    int    `json:"key"`
		Off    bool   `json:"off,omitempty"`
		Dashed bool   `json:"dashed,omitempty"`
		Points points `json:"points"`
	}
	data := struct {
		X     axisForm    `json:"x"`
		Y     axisForm    `json:"y"`
		At    points      `json:"at"`
		Lines []line      `json:"lines"`
		Marks []chartMark `json:"marks,omitempty"`
		Taint []chartMark `json:"taint,omitempty"`
		Bars  bool        `json:"bars,omitempty"`
	}{X: c.x, Y: c.y, At: c.at, Marks: c.marks, Taint: c.taint, Bars: c.bars}
	for _, l := range c.Lines {
		data.Lines = append(data.Lines, line{l.Name, l.Key, l.Off, l.Dashed, l.points})
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return "", fmt.Errorf("chart %q: %w", c.Title, err)
	}
	return string(encoded), nil
}

// Bare says that all there is of the chart is what a script draws.
func (c Chart) Bare() bool { return c.Still == nil && c.Table == nil }

// Toggles says whether lines can be shown and hidden: a single one cannot.
func (c Chart) Toggles() bool { return len(c.Lines) > 1 }

// newLines gives colours to lines, and leaves out of the picture at first what
// would crowd it.
func newLines(lines ...ChartLine) []ChartLine {
	for i := range lines {
		lines[i].Key, lines[i].Off = i%chartColours, i >= shownLines
	}
	return lines
}

// some lists the first of many texts, and how many more there are.
func some(texts []string) string {
	const told = 6
	if more := len(texts) - told; more > 0 {
		return strings.Join(texts[:told], "; ") + fmt.Sprintf("; and %d more", more)
	}
	return strings.Join(texts, "; ")
}

// ChartHead is the strict policy of a page with charts, its style, and its script,
// which belongs at the end of the page.
type ChartHead struct {
	Head
	Script template.HTML
}

// NewChartHead is that of a page with that title, and some style of its own beside
// that of the report's.
func NewChartHead(title, style string) ChartHead {
	return newHead(title, pageCSS+uplotCSS+chartsCSS+style, uplotJS+chartsJS)
}

// newHead is that of a page with a title, a style and a script. Both are the project's own,
// or stand unchanged in its source; wrapped whole, the template changes no byte of
// what was hashed.
func newHead(title, style, script string) ChartHead {
	h := ChartHead{Head: Head{Title: title, Policy: contentPolicy(style, script), Style: template.HTML("<style>" + style + "</style>")}}
	if script != "" {
		h.Script = template.HTML("<script>" + script + "</script>")
	}
	return h
}
