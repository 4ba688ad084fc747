package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

func (p *printout) firewall(d *firewall.Difference) {
	if d == nil || len(d.Changes)+len(d.Uncompared) == 0 {
		return
	}
	p.line(0, "", "firewall")
	most(p, d.Changes, func(c firewall.Change) {
		p.line(2, "", "%s: %s %s from %s over %s: %s → %s", c.Effect, c.Protocol, c.Range, c.Zone,
			strings.Join(c.Families, " and "), c.Before.Outcome(), c.After.Outcome())
		if rule := c.After.Rule; rule != nil {
			p.line(4, "", "by %s", rule)
		}
	})
	most(p, d.Uncompared, func(u firewall.Uncompared) {
		p.line(2, "", "not compared: %s, only in the %s", strings.Join(slices.DeleteFunc(
			[]string{"zone " + u.Zone, u.Protocol, u.Family}, func(s string) bool { return s == "" }), " "), u.In)
	})
	p.gap()
}

func (p *printout) benchmarks(c *Comparison) {
	if len(c.Benchmarks) > 0 {
		p.WriteString(row("benchmark", "base", "new", "ratio", "95 % interval", "p", ""))
	}
	for _, b := range c.Benchmarks {
		p.line(0, "", "%s  (%s)", b.Name, restarts(b))
		for _, m := range b.Metrics {
			text := row("  "+m.Quantity.String(), report.Quantity(m.Quantity, m.Base.Median), report.Quantity(m.Quantity, m.New.Median),
				fmt.Sprintf("%.3f", m.Ratio.Value), fmt.Sprintf("%.3f–%.3f", m.Ratio.Low, m.Ratio.High), probability(m.AdjustedP), "")
			fmt.Fprintf(p, "%s  %s\n", strings.TrimSuffix(text, "\n"), p.painted(m.Verdict, string(m.Verdict)))
		}
		if b.Reason != "" {
			p.line(2, judge.Inconclusive, "inconclusive: %s", b.Reason)
		}
	}
	if len(c.Benchmarks) > 0 {
		p.line(0, "", "p is adjusted for all that is judged together (Holm); from %s on a change counts.", percent(c.MinEffect))
		p.gap()
	}
	if len(c.NotCompared) > 0 {
		p.line(0, "", "not compared")
		most(p, c.NotCompared, func(n NotCompared) { p.line(2, "", "%s: %s", n.Name, n.Reason) })
		p.gap()
	}
}

// restarts says how many count.
func restarts(b judge.Benchmark) string {
	if b.BaseRestarts == b.NewRestarts {
		return counted(b.BaseRestarts, "restart") + " a side"
	}
	return fmt.Sprintf("%d and %s", b.BaseRestarts, counted(b.NewRestarts, "restart"))
}

// row is one of the table, 67 columns wide without its last cell.
func row(name, base, now, ratio, interval, p, verdict string) string {
	return strings.TrimRight(terminal.PadRight(name, 10)+terminal.PadLeft(base, 12)+terminal.PadLeft(now, 12)+
		terminal.PadLeft(ratio, 8)+terminal.PadLeft(interval, 15)+terminal.PadLeft(p, 8)+"  "+verdict, " ") + "\n"
}

func probability(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// percent is a share as people write it.
func percent(share float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", 100*share), "0"), ".") + " %"
}
