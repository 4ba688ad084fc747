package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
)

// ladderView is a ladder as a waterfall with its table.
type ladderView struct {
	Title  string
	Label  string // the waterfall in words
	Height int    // pixels
	Bars   []waterfallBar
	Steps  []stepView
}

// waterfallBar is a step: its base in light, and from there on what it adds. Places
// along x are percents of the width, those along y pixels.
type waterfallBar struct {
	Name, Value string
	TextY       int
	ValueX      string
	Parts       []waterfallPart
}

type waterfallPart struct {
	Class    string // of the style sheet
	Y        int
	X, Width string
}

// stepView is a row of the table. Outcome is nil where there are figures.
type stepView struct {
	Name, What             string
	Median, Interval, Adds string
	Remark                 string
	Outcome                *outcome
}

// Places of a waterfall: names to the left, bars, and room for the longest value.
const (
	waterfallRow  = 24 // pixels
	waterfallFrom = 0.22
	waterfallBars = 0.58
	// waterfallLeast is seen of a part however short it is.
	waterfallLeast = 0.003
)

func ladderViewOf(l bench.Ladder) ladderView {
	v := ladderView{Title: string(l.Placement) + ": " + ends(l.Pair)}
	longest := 0.0
	for _, s := range l.Steps {
		longest = max(longest, s.Result.MedianNS, s.BaseNS)
	}
	var told []string
	for _, s := range l.Steps {
		v.Steps = append(v.Steps, stepViewOf(s))
		if s.Result.MedianNS <= 0 {
			continue
		}
		bar := waterfallBar{Name: s.Name, Value: humanNS(s.Result.MedianNS), TextY: waterfallRow*len(v.Bars) + 16}
		place := func(ns float64) float64 { return waterfallFrom + waterfallBars*ns/longest }
		add := func(class string, from, to float64) {
			if to > from {
				bar.Parts = append(bar.Parts, waterfallPart{
					class, waterfallRow*len(v.Bars) + 5, percentOf(place(from)), percentOf(math.Max(place(to)-place(from), waterfallLeast)),
				})
			}
		}
		add("base", 0, min(s.BaseNS, s.Result.MedianNS))
		add("adds", s.BaseNS, s.Result.MedianNS)
		add("less", s.Result.MedianNS, s.BaseNS)
		bar.ValueX = percentOf(place(max(s.Result.MedianNS, s.BaseNS)))
		v.Bars = append(v.Bars, bar)
		text := s.Name + " " + bar.Value
		if s.Adds != nil {
			text += ", " + added(s)
		}
		told = append(told, text)
	}
	v.Height = waterfallRow * len(v.Bars)
	v.Label = fmt.Sprintf("Waterfall of the steps of a round trip, %s. %s.", l.Placement, strings.Join(told, "; "))
	return v
}

func stepViewOf(s bench.Step) stepView {
	v := stepView{Name: s.Name, What: s.What, Remark: s.Remark}
	if o := outcomeOf(s.Result); o != nil && s.Result.Inconclusive == "" {
		v.Outcome = o
		return v
	}
	v.Median, v.Interval = humanNS(s.Result.MedianNS), humanInterval(s.Result.CI95.LowNS, s.Result.CI95.HighNS)
	if s.Adds != nil {
		v.Adds = added(s)
	}
	return v
}

// rulesView is what the machine's rules cost.
type rulesView struct {
	Placement      string
	Lines, Caveats []string
}

// rulesViewOf is nil where that was not asked.
func rulesViewOf(r *bench.Rules) *rulesView {
	if r == nil {
		return nil
	}
	v := &rulesView{Lines: strings.Split(strings.TrimSpace(r.String()), "\n"), Caveats: rulesCaveats(*r)}
	if len(r.Costs) > 0 {
		v.Placement = string(r.Costs[0].With.Placement)
	}
	return v
}

// Sentence says in one sentence what a round trip over TCP takes on each placement.
func (l *Ladders) Sentence() string {
	var takes []string
	for _, one := range l.Ladders {
		for _, s := range one.Steps {
			if s.Name == bench.TCP && s.Result.MedianNS > 0 {
				takes = append(takes, fmt.Sprintf("%s on %s", humanNS(s.Result.MedianNS), one.Placement))
			}
		}
	}
	text := "no round trip over TCP was measured."
	if len(takes) > 0 {
		text = "a round trip over TCP takes " + strings.Join(takes, " and ") + "; this is where the time goes."
	}
	if l.Interrupted {
		return "Interrupted: " + text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
