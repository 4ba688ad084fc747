package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// Ladders is where a round trip's time goes on one machine. Its JSON form is
// described by docs/bench_ladder.schema.json.
type Ladders struct {
	SchemaVersion string         `json:"schema_version"`
	Tool          Tool           `json:"tool"`
	Started       time.Time      `json:"started"` // UTC
	Duration      time.Duration  `json:"duration_ns"`
	Command       []string       `json:"command"` // without the path of the binary
	Interrupted   bool           `json:"interrupted"`
	Host          host.Facts     `json:"host"`
	Noise         host.Noise     `json:"noise"`
	Ladders       []bench.Ladder `json:"ladders"`
	// Rules is what the machine's netfilter rules cost; nil where that was not asked.
	Rules *bench.Rules `json:"rules,omitempty"`
}

// LaddersJSON writes ladders as one indented document.
func LaddersJSON(l *Ladders) func(io.Writer) error {
	return func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(rewritten(l, func(s string) string { return s })); err != nil {
			return fmt.Errorf("write the ladder as JSON: %w", err)
		}
		return nil
	}
}

// LaddersText writes ladders for a terminal: a table for each placement, what the
// steps are, and what the rules cost.
func LaddersText(l *Ladders, style Style) func(io.Writer) error {
	return func(w io.Writer) error {
		l := rewritten(l, terminal.Harmless)
		p := newPrintout(style)
		for i, one := range l.Ladders {
			if i > 0 {
				p.line()
			}
			p.ladder(one)
		}
		p.legend(l.Ladders)
		if l.Rules != nil {
			p.rules(*l.Rules)
		}
		if l.Interrupted {
			p.line()
			p.line(p.paint(purple, "Interrupted: this is what there was so far."))
		}
		_, err := io.WriteString(w, p.String())
		return err
	}
}

// Columns of a ladder. The rest of the width is the bar's.
const (
	ladderNameWidth     = 14
	ladderMedianWidth   = 9
	ladderIntervalWidth = 19
	ladderIndent        = 4
)

func (p *printout) ladder(l bench.Ladder) {
	p.line(p.paint(bold, string(l.Placement)), ": ", ends(l.Pair))
	p.line(p.paint(faint, terminal.PadRight("step", ladderNameWidth)+terminal.PadLeft("median", ladderMedianWidth)+
		terminal.PadLeft("95 % interval", ladderIntervalWidth)))
	longest := 0.0
	for _, s := range l.Steps {
		longest = max(longest, s.Result.MedianNS)
	}
	for _, s := range l.Steps {
		p.step(s, longest)
	}
}

// ends says where both ends of a placement run.
func ends(p topology.Pair) string {
	switch {
	case p.Client < 0:
		return "each end where the scheduler puts it"
	case p.Client == p.Server:
		return fmt.Sprintf("both ends on processor %d", p.Client)
	}
	return fmt.Sprintf("one end on processor %d, the other on %d", p.Client, p.Server)
}

func (p *printout) step(s bench.Step, longest float64) {
	name := terminal.PadRight(s.Name, ladderNameWidth)
	switch {
	case s.Result.Skipped != "":
		p.line(name, terminal.PadLeft("–", ladderMedianWidth))
		p.block(ladderIndent, cyan, "skipped: "+s.Result.Skipped)
		return
	case len(s.Result.Restarts) == 0:
		p.line(name, terminal.PadLeft("–", ladderMedianWidth), "  not measured")
		return
	}
	row := name + terminal.PadLeft(humanNS(s.Result.MedianNS), ladderMedianWidth)
	row += terminal.PadLeft(humanInterval(s.Result.CI95.LowNS, s.Result.CI95.HighNS), ladderIntervalWidth)
	p.line(row, "  ", stepBar(s, longest, p.style.Width-terminal.Columns(row)-2))
	if s.Adds != nil {
		p.line(strings.Repeat(" ", ladderIndent), p.paint(faint, added(s)))
	}
	if s.Remark != "" {
		p.block(ladderIndent, yellow, s.Remark)
	}
}

// added says what a step takes longer than its base.
func added(s bench.Step) string {
	base := s.Over
	if s.Times > 1 {
		base = fmt.Sprintf("%d × %s", s.Times, base)
	}
	what, by := "adds ", s.Adds.NS
	low, high := s.Adds.CI95.LowNS, s.Adds.CI95.HighNS
	if by < 0 {
		what, by, low, high = "takes off ", -by, -high, -low
	}
	text := what + humanNS(by)
	if s.Adds.Rounds > 1 {
		interval := humanInterval(low, high)
		if low < 0 {
			interval = strings.Replace(interval, "–", " to ", 1)
		}
		text += " (" + interval + ")"
	}
	return text + " over " + base
}

// stepBar is as long as what a step takes: light for its base, and dark for what
// it adds.
func stepBar(s bench.Step, longest float64, width int) string {
	if longest <= 0 {
		return ""
	}
	cells := func(ns float64) int { return int(math.Round(float64(width) * ns / longest)) }
	whole := cells(s.Result.MedianNS)
	light := min(cells(s.BaseNS), whole)
	return strings.Repeat("░", light) + strings.Repeat("█", whole-light)
}

// legend says once what the steps are: they are those of every placement.
func (p *printout) legend(ladders []bench.Ladder) {
	if len(ladders) == 0 {
		return
	}
	p.line()
	p.line("One operation of each step is:")
	for _, s := range ladders[0].Steps {
		p.labelled(2, terminal.PadRight(s.Name, ladderNameWidth), plain, s.What)
	}
}

func (p *printout) rules(r bench.Rules) {
	p.line()
	placement := ""
	if len(r.Costs) > 0 {
		placement = ", " + string(r.Costs[0].With.Placement)
	}
	p.line(p.paint(bold, "netfilter rules"), placement)
	for line := range strings.Lines(r.String()) {
		p.block(2, plain, strings.TrimSuffix(line, "\n"))
	}
	for _, text := range rulesCaveats(r) {
		p.block(2, yellow, text)
	}
}

// rulesCaveats say what keeps the cost of rules from being taken at its word.
func rulesCaveats(r bench.Rules) (texts []string) {
	for _, c := range r.Costs {
		if c.Adds.Inconclusive != "" {
			texts = append(texts, strings.ToUpper(c.With.Transport)+" is inconclusive: "+c.Adds.Inconclusive)
		}
	}
	for _, what := range r.Untried {
		texts = append(texts, "not in the copy that was measured: "+what)
	}
	return texts
}
