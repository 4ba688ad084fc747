package compare

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	pageTemplate = report.PageTemplate("comparison", pageHTML)
)

const (
	// pageRows is how many rows a list has on the page before the rest is counted.
	pageRows = 300
	// drawn is of how many benchmarks there are charts, the worst, and openPlots up
	// to how many of these are shown without being asked for.
	drawn, openPlots = 60, 4
)

// HTML writes comparisons, of which there has to be one, as one page that asks for
// nothing but itself, under the same strict policy as a report: what got worse first,
// then tables of all that differs, with both sides over each other in charts.
func HTML(all ...*Comparison) func(io.Writer) error {
	return func(w io.Writer) error {
		var v pageView
		for i, c := range all {
			v.Comparisons = append(v.Comparisons, viewOf(report.HarmlessCopy(c), fmt.Sprintf("c%d", i+1)))
		}
		verdict, sentence := inAll(v.Comparisons)
		v.ChartHead = report.NewChartHead(string(verdict)+" · loopcheck", pageCSS)
		v.State, v.Sentence, v.Base = pageState(verdict), sentence, v.Comparisons[0].Base.Source
		if err := pageTemplate.Execute(w, v); err != nil {
			return fmt.Errorf("write the comparison as HTML: %w", err)
		}
		return nil
	}
}

// comparedMark begins the part of a sentence that says how much was compared: the
// page has it below its title.
const comparedMark = " Compared: "

// pageView is the page as the template wants it.
type pageView struct {
	report.ChartHead
	State       check.State
	Base        string // where it was read from
	Sentence    string
	Comparisons []comparisonView
}

// inAll is the verdict of all comparisons together, and in a sentence.
func inAll(all []comparisonView) (judge.Verdict, string) {
	if len(all) == 1 {
		lead, _, _ := strings.Cut(all[0].Sentence, comparedMark)
		return all[0].Verdict, lead
	}
	number := func(v judge.Verdict) (n int) {
		for _, c := range all {
			if c.Verdict == v {
				n++
			}
		}
		return n
	}
	switch worse, undecided := number(judge.Regression), number(judge.Inconclusive); {
	case worse > 0:
		return judge.Regression, fmt.Sprintf("Regression in %d of %s.", worse, counted(len(all), "comparison"))
	case undecided > 0:
		return judge.Inconclusive, fmt.Sprintf("No regression is shown, but not all is decided in %d of %s.", undecided, counted(len(all), "comparison"))
	}
	return judge.NoChange, fmt.Sprintf("No regression in %s.", counted(len(all), "comparison"))
}

// stateOf is the state whose colour and sign a verdict has in tables.
func stateOf(v judge.Verdict) check.State {
	if state, coloured := states[v]; coloured {
		return state
	}
	return check.Skip // quiet
}

// pageState is stateOf the verdict of the whole.
func pageState(v judge.Verdict) check.State {
	if v == judge.NoChange {
		return check.Pass
	}
	return stateOf(v)
}

// rows are the first of a list, and how many more there are.
type rows[T any] struct {
	Rows []T
	More int
}

func firstOf[T, V any](all []T, view func(T) V) rows[V] {
	var r rows[V]
	for i, one := range all {
		if i == pageRows {
			r.More = len(all) - pageRows
			break
		}
		r.Rows = append(r.Rows, view(one))
	}
	return r
}

func same[T any](v T) T { return v }

// differenceList is a table of what differs, where What says of what.
type differenceList struct {
	What, Column string
	rows[Difference]
}

// part is a section that the page links to.
type part struct{ ID, Name string }

type comparisonView struct {
	*Comparison
	ID            string
	State         check.State
	Sentence      string
	Compared      string // the part of Sentence that says how much was
	Caveat        string // about the machines
	Parts         []part
	Worse         rows[CheckChange]
	Slower        rows[benchmarkView]
	Sides         differenceList
	HostList      differenceList
	BenchmarkList rows[benchmarkView]
	Rules         string
	Overlays      []overlayView
	Undrawn       int // 0 where all benchmarks are drawn, else how many are
	NotCompared   rows[NotCompared]
	CheckList     rows[CheckChange]
	FirewallList  rows[movedView]
	ListenerList  rows[ListenerChange]
	SettingList   differenceList
}

func viewOf(c *Comparison, id string) comparisonView {
	v := comparisonView{
		Comparison: c, ID: id, State: pageState(c.Verdict), Sentence: c.Sentence(),
		BenchmarkList: firstOf(c.Benchmarks, benchmarkViewOf),
		Sides:         differenceList{"The two sides", "", firstOf(c.sidesAsRows(), same)},
		HostList:      differenceList{"What differs of the machines", "Machine", firstOf(c.Host, same)},
		SettingList:   differenceList{"Settings that differ", "Setting", firstOf(c.Settings, same)},
		NotCompared:   firstOf(c.NotCompared, same),
		CheckList:     firstOf(c.Checks, firstLine),
		ListenerList:  firstOf(c.Listeners, same),
		Rules:         c.rules(),
	}
	var worse []CheckChange
	for _, one := range c.Checks {
		if one.Change == Worse {
			worse = append(worse, one)
		}
	}
	v.Worse = firstOf(worse, same)
	var slower []judge.Benchmark
	for _, b := range c.Benchmarks {
		if b.Verdict == judge.Regression {
			slower = append(slower, b)
		}
	}
	if _, compared, told := strings.Cut(v.Sentence, comparedMark); told {
		v.Compared = strings.TrimSpace(comparedMark) + " " + compared
	}
	v.Slower = firstOf(slower, benchmarkViewOf)
	if len(c.Host) > 0 {
		var what []string
		for _, d := range c.Host {
			what = append(what, d.What)
		}
		v.Caveat = "The machines or what ran on them differ, which may explain the rest: " + strings.Join(named(what), ", ") + "."
	}
	if c.Firewall != nil {
		v.FirewallList = firstOf(c.Firewall.Changes, movedViewOf)
	}
	v.draw()
	v.addParts()
	return v
}

// addParts lists the sections that there are.
func (v *comparisonView) addParts() {
	for _, p := range []struct {
		there    bool
		id, name string
	}{
		{len(v.Worse.Rows)+len(v.Slower.Rows) > 0, "worse", "Got worse"},
		{true, "sides", "What is compared"},
		{len(v.BenchmarkList.Rows) > 0, "benchmarks", "Benchmarks"},
		{len(v.NotCompared.Rows) > 0, "left", "Not compared"},
		{len(v.CheckList.Rows) > 0, "checks", "Checks"},
		{len(v.FirewallList.Rows) > 0, "firewall", "Firewall"},
		{len(v.ListenerList.Rows) > 0, "listeners", "Listeners"},
		{len(v.SettingList.Rows) > 0, "settings", "Settings"},
	} {
		if p.there {
			v.Parts = append(v.Parts, part{v.ID + "-" + p.id, p.name})
		}
	}
}

// firstLine is a check with no more of its message than stands in a table, which is
// none where it passed.
func firstLine(one CheckChange) CheckChange {
	if severity(one.New) == 0 {
		one.Message = ""
	}
	one.Message, _, _ = strings.Cut(strings.TrimSpace(one.Message), "\n")
	return one
}

// sidesAsRows are what is known of both sides.
func (c *Comparison) sidesAsRows() []Difference {
	var known []Difference
	add := func(what string, of func(Side) string) {
		if base, now := of(c.Base), of(c.New); base+now != "" {
			known = append(known, Difference{what, base, now})
		}
	}
	add("source", func(s Side) string { return s.Source })
	add("host name", func(s Side) string { return s.Hostname })
	add("started", func(s Side) string {
		if s.Started.IsZero() {
			return ""
		}
		return s.Started.UTC().Format("2006-01-02 15:04:05 UTC")
	})
	add("loopcheck", func(s Side) string { return s.Version })
	add("interrupted", func(s Side) string {
		if s.Interrupted {
			return "yes"
		}
		return ""
	})
	return known
}

// movedView is a change of the firewall.
type movedView struct {
	Packets   string
	Effect    firewall.Effect
	Base, New string
	Rule      string // that decides now; empty where there is none
}

func movedViewOf(c firewall.Change) movedView {
	v := movedView{
		Packets: fmt.Sprintf("%s %s from %s over %s", c.Protocol, c.Range, c.Zone, strings.Join(c.Families, " and ")),
		Effect:  c.Effect, Base: shown(c.Before.Outcome()), New: shown(c.After.Outcome()),
	}
	if c.After.Rule != nil {
		v.Rule = c.After.Rule.String()
	}
	return v
}
