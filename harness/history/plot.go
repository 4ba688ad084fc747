package history

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Measures of the charts, in the units of their viewBox.
const (
	plotWidth  = 720
	plotHeight = 140
	plotMargin = 8 // above and below, so that no line is cut
)

// plot is the chart of a benchmark: its runs from left to right at equal distances,
// whenever they were.
type plot struct {
	Width, Height int
	Line          string // points of a polyline
	Levels        []levelLine
	Marks         []mark
	LowNS, HighNS float64 // of the vertical axis
	First, Last   string  // days of the first and last run
}

type levelLine struct{ X1, X2, Y float64 }

type mark struct {
	Number int
	X      float64
}

func plotOf(b benchmarkTrend) plot {
	p := plot{Width: plotWidth, Height: plotHeight}
	n := len(b.Runs)
	if n == 0 {
		return p
	}
	p.LowNS, p.HighNS = slices.Min(b.MediansNS), slices.Max(b.MediansNS)
	p.First, p.Last = b.Runs[0].Started.UTC().Format("2006-01-02"), b.Runs[n-1].Started.UTC().Format("2006-01-02")
	// A run has a column of its own; a lone one stands in the middle.
	x := func(i float64) float64 { return i / float64(n) * plotWidth }
	y := func(v float64) float64 {
		if p.HighNS == p.LowNS {
			return plotHeight / 2
		}
		return plotMargin + (p.HighNS-v)/(p.HighNS-p.LowNS)*(plotHeight-2*plotMargin)
	}
	var line strings.Builder
	for i, v := range b.MediansNS {
		if i > 0 {
			line.WriteByte(' ')
		}
		fmt.Fprintf(&line, "%.1f,%.1f", x(float64(i)+0.5), y(v))
	}
	p.Line = line.String()
	from := 0
	for i, c := range b.Changes {
		p.Levels = append(p.Levels, levelLine{x(float64(from)), x(float64(c.At)), y(Median(b.MediansNS[from:c.At]))})
		p.Marks = append(p.Marks, mark{i + 1, x(float64(c.At))})
		from = c.At
	}
	p.Levels = append(p.Levels, levelLine{x(float64(from)), plotWidth, y(Median(b.MediansNS[from:]))})
	return p
}

// bar is a stretch of a check's runs with one state.
type bar struct {
	State    check.State
	X, Width float64
}

func barsOf(t checkTrend) []bar {
	var bars []bar
	at := 0
	for _, s := range t.Stretches {
		bars = append(bars, bar{s.State, float64(at) / float64(t.Runs) * plotWidth, float64(s.N) / float64(t.Runs) * plotWidth})
		at += s.N
	}
	return bars
}
