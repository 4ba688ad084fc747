package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed sections.html
	sectionsHTML string
	//go:embed measured.html
	measuredHTML string
	//go:embed firewall.html
	firewallHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// HTML writes the report as one page that needs nothing but itself. Its
// Content-Security-Policy (W3C CSP Level 3) admits the page's own style and
// script, by their hashes, and no request to anywhere; whatever the machine
// named is text and stays text.
func HTML(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		if err := pageTemplate.Execute(w, viewOf(HarmlessCopy(r))); err != nil {
			return fmt.Errorf("write the report as HTML: %w", err)
		}
		return nil
	}
}

var pageTemplate = sectioned("page", firewallHTML+pageHTML)

// sectioned is the template of a page that has sections of the report.
func sectioned(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"duration":     humanDuration,
		"ns":           humanNS,
		"bytes":        humanBytesRate,
		"limit":        limit,
		"join":         strings.Join,
		"figures":      figures,
		"grouped":      func(n any) string { return grouped(fmt.Sprint(n)) },
		"glyph":        func(s check.State) string { return glyphs[s] },
		"sortedKeys":   func(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) },
		"benchNotes":   benchNotes,
		"benchCaveats": benchCaveats,
		"outcomeOf":    outcomeOf,
		"conditions":   conditionFacts,
		"ordinal":      func(i int) int { return i + 1 },
		// An address of a report that was read may have any zone.
		"harmless":    terminal.Harmless,
		"scopeCounts": scopeCounts,
		"moreThanOne": func(o []listeners.Owner) int { return len(o) - 1 },
	}).Parse(partsHTML + sectionsHTML + text))
}

// glyphs stand beside the word of a state, never instead of it.
var glyphs = map[check.State]string{
	check.Pass: "✓", check.Fail: "✗", check.Warn: "!", check.Inconclusive: "?", check.Interrupted: "■", check.Skip: "–",
}

// pageView is a report as the template wants it.
type pageView struct {
	*Report
	ChartHead
	frameView
	Counts []stateCount
	concerns
	Sections []suiteView
	Skips    []skipGroup
	// Bench is nil where nothing was measured.
	Bench *benchView
	// FirewallView is nil where no firewall was asked about.
	FirewallView *firewallView
}

// frameView is what all pages of one machine have around their sections.
type frameView struct {
	When       string
	HostFacts  []fact
	NoiseFacts []fact
}

func frameOf(r *Report) frameView {
	return frameView{r.Started.UTC().Format("2 January 2006, 15:04:05 UTC"), machineFacts(r), noiseFacts(r)}
}

// titleOf is that of a page of one machine.
func titleOf(r *Report, topic string) string {
	title := topic + " · loopcheck"
	if r.Host.Hostname != "" {
		title += " on " + r.Host.Hostname
	}
	return title
}

type stateCount struct {
	State check.State
	N     int
}

type suiteView struct {
	check.Suite
	Checks []Check
	Counts []stateCount
	Took   time.Duration
}

type fact struct{ Name, Value string }

func viewOf(r *Report) pageView {
	v := pageView{
		Report:       r,
		frameView:    frameOf(r),
		Counts:       countsOf(r.Summary),
		concerns:     r.concerns(),
		Skips:        r.skipGroups(),
		Bench:        benchViewOf(r.Benchmarks),
		FirewallView: r.firewallView(),
	}
	style, script := pageCSS, pageJS
	if v.Bench != nil {
		style, script = style+uplotCSS+chartsCSS, script+uplotJS+chartsJS
	}
	v.ChartHead = newHead(titleOf(r, string(r.Summary.Verdict)), style, script)
	for _, s := range r.suites() {
		checks := r.checksOf(s.Name)
		v.Sections = append(v.Sections, suiteView{Suite: s, Checks: checks, Counts: countsOf(Summarize(checks)), Took: took(checks)})
	}
	return v
}

// countsOf lists the states that occur, passes first.
func countsOf(s Summary) []stateCount {
	var counts []stateCount
	for _, state := range tableStates {
		if n := s.Count(state); n > 0 {
			counts = append(counts, stateCount{state, n})
		}
	}
	return counts
}
