package history

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// Index is the name of the page in the reports folder.
const Index = "index.html"

var (
	//go:embed index.html
	indexHTML string
	//go:embed index.css
	indexCSS string

	indexTemplate = report.PageTemplate("index", indexHTML)
)

// Write makes the page of a reports folder anew from the reports in it.
func Write(reports string) (*History, error) {
	h, err := Load(reports)
	if err != nil {
		return nil, err
	}
	err = folder.Write(filepath.Join(reports, Index), h.page(func(run *Run) bool {
		_, err := os.Stat(filepath.Join(reports, run.Folder, folder.HTML))
		return err == nil
	}))
	if err == nil && h.stale {
		// It saves time the next time, and nothing is lost where it cannot be written.
		_ = keep(reports, h.entries, time.Now())
	}
	return h, err
}

// page writes the history as one page of HTML that asks for nothing but itself and
// links to the reports of the runs that have one for people.
func (h *History) page(hasHTML func(*Run) bool) func(io.Writer) error {
	return func(w io.Writer) error {
		if err := indexTemplate.Execute(w, h.view(hasHTML)); err != nil {
			return fmt.Errorf("write the history as HTML: %w", err)
		}
		return nil
	}
}

type indexView struct {
	report.Head
	Verdict                check.State
	Sentence               string
	Machines               []machineView
	Runs                   []runView // newest first
	Unreadable             []Unreadable
	FamilyError, MinEffect float64
}

type machineView struct {
	Title      string
	Runs       int
	Benchmarks []benchmarkView
	Changed    []checkView
	Steady     string // in how many runs which checks had one state throughout
}

type benchmarkView struct {
	Name          string
	Plot          plot
	Levels        []levelView
	Newest        []pointView
	Inconclusive  int
	Runs, Changes int
}

// levelView is a stretch of runs between change points.
type levelView struct {
	Number                  int
	From, To                runView
	N                       int
	MedianNS, LowNS, HighNS float64
	Changed                 bool
	Effect                  float64
	P                       string
}

type pointView struct {
	runView
	MedianNS float64
}

type checkView struct {
	ID, Title     string
	Now           check.State
	Bars          []bar
	Width         int
	Stretches     []stretchView
	Hidden        int
	Runs, Changes int
}

type stretchView struct {
	State    check.State
	From, To runView
	N        int
}

type runView struct {
	Link            string // to its report; empty where there is none for people
	When, Day       string
	Machine, Kernel string
	Tool            string
	Verdict         check.State
	Sentence        string
}

// newestPoints is how many single runs the table of a chart lists.
const newestPoints = 10

// newestStretches is how many changes of a check are listed.
const newestStretches = 20

func (h *History) view(hasHTML func(*Run) bool) indexView {
	v := indexView{
		Head: report.NewHead("History · loopcheck", indexCSS), Verdict: check.Skip, Sentence: "No run is here yet.",
		Unreadable: h.Unreadable, FamilyError: familyError, MinEffect: minEffect,
	}
	views := map[string]runView{}
	for _, run := range slices.Backward(h.Runs) {
		view := viewOf(run, hasHTML(run))
		views[run.Folder] = view
		v.Runs = append(v.Runs, view)
	}
	if len(v.Runs) > 0 {
		v.Verdict = v.Runs[0].Verdict
		v.Sentence = "The newest run: " + v.Runs[0].Sentence
	}
	for _, t := range h.trends() {
		v.Machines = append(v.Machines, machineViewOf(t, views))
	}
	return v
}

func viewOf(run *Run, hasHTML bool) runView {
	shown := func(s string) string { return strings.ReplaceAll(terminal.Harmless(s), "\n", " ") }
	view := runView{
		When: run.Started.UTC().Format("2006-01-02 15:04:05"), Day: run.Started.UTC().Format("2006-01-02"),
		Machine: run.Machine.Hostname, Kernel: shown(run.Kernel), Tool: shown(run.Tool),
		Verdict: run.Verdict, Sentence: terminal.Shorten(shown(run.Sentence), 300),
	}
	if hasHTML {
		view.Link = "./" + url.PathEscape(run.Folder) + "/" + folder.HTML
	}
	return view
}

func machineViewOf(t machineTrends, views map[string]runView) machineView {
	v := machineView{Title: t.Machine.String(), Runs: len(t.Runs), Steady: steady(t.Steady)}
	for _, b := range t.Benchmarks {
		v.Benchmarks = append(v.Benchmarks, benchmarkViewOf(b, views))
	}
	for _, c := range t.Changed {
		v.Changed = append(v.Changed, checkViewOf(c, views))
	}
	return v
}

// steady counts the checks that had one state throughout, by that state.
func steady(trends []checkTrend) string {
	counts := map[check.State]int{}
	for _, t := range trends {
		counts[t.Stretches[0].State]++
	}
	var parts []string
	for _, state := range slices.SortedFunc(maps.Keys(counts), func(a, b check.State) int { return counts[b] - counts[a] }) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
	}
	return strings.Join(parts, ", ")
}

func benchmarkViewOf(b benchmarkTrend, views map[string]runView) benchmarkView {
	v := benchmarkView{Name: strings.ReplaceAll(terminal.Harmless(b.Name), "\n", " "), Inconclusive: b.Inconclusive, Plot: plotOf(b)}
	starts := []int{0}
	for _, c := range b.Changes {
		starts = append(starts, c.At)
	}
	for i, from := range starts {
		to := len(b.Runs)
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		if from == to {
			continue
		}
		values := b.MediansNS[from:to]
		level := levelView{
			Number: i, From: views[b.Runs[from].Folder], To: views[b.Runs[to-1].Folder], N: to - from,
			MedianNS: Median(values), LowNS: slices.Min(values), HighNS: slices.Max(values),
		}
		if i > 0 {
			level.Changed, level.Effect, level.P = true, b.Changes[i-1].Effect(), chance(b.Changes[i-1].P)
		}
		v.Levels = append(v.Levels, level)
	}
	for i := len(b.Runs) - 1; i >= 0 && len(v.Newest) < newestPoints; i-- {
		v.Newest = append(v.Newest, pointView{views[b.Runs[i].Folder], b.MediansNS[i]})
	}
	v.Runs, v.Changes = len(b.Runs), len(b.Changes)
	return v
}

// chance is a probability to one digit.
func chance(p float64) string {
	if p < 1e-6 {
		return "< 0.000001"
	}
	return fmt.Sprintf("%.1g", p)
}

func checkViewOf(t checkTrend, views map[string]runView) checkView {
	last := t.Stretches[len(t.Stretches)-1]
	v := checkView{
		ID: terminal.Harmless(t.ID), Title: strings.ReplaceAll(terminal.Harmless(t.Title), "\n", " "),
		Now: last.State, Bars: barsOf(t), Width: plotWidth,
		Runs: t.Runs, Changes: len(t.Stretches) - 1,
	}
	for _, s := range slices.Backward(t.Stretches) {
		if len(v.Stretches) == newestStretches {
			v.Hidden = len(t.Stretches) - newestStretches
			break
		}
		v.Stretches = append(v.Stretches, stretchView{s.State, views[s.From.Folder], views[s.To.Folder], s.N})
	}
	return v
}
