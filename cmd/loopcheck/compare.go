package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/baseline"
	"github.com/loopcheck/loopcheck/harness/compare"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// judging are the flags of what judges benchmarks.
type judging struct {
	minEffect share
	failOn    []string
}

// share is a flag that takes a percentage or a fraction.
type share float64

func (s *share) String() string { return strconv.FormatFloat(100*float64(*s), 'f', -1, 64) + "%" }
func (*share) Type() string     { return "a share above 0 and below 100%, such as 5% or 0.05" }

func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || math.IsNaN(v) || v <= 0 || v >= 1 {
		return errors.New("it is no share above 0 and below 100%")
	}
	*s = share(v)
	return nil
}

// decided are the values of --fail-on of compare.
var decided = []string{string(judge.Inconclusive)}

func (j *judging) check() error {
	for _, state := range j.failOn {
		if err := oneOf("--fail-on", state, decided...); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

func (j *judging) rules() judge.Rules {
	return judge.Rules{MinEffect: float64(j.minEffect), Level: judge.DefaultLevel}
}

// verdict is the exit code of comparisons.
func (j *judging) verdict(all ...*compare.Comparison) error {
	for _, c := range all {
		undecided := slices.ContainsFunc(c.Benchmarks, func(b judge.Benchmark) bool { return b.Verdict == judge.Inconclusive })
		if c.Verdict == judge.Regression || undecided && slices.Contains(j.failOn, string(judge.Inconclusive)) {
			return codeError(exitFailed)
		}
	}
	return nil
}

const minEffectUsage = "call a benchmark slower or faster from a change of `SHARE` on"

// compareOptions are the flags of compare.
type compareOptions struct {
	judging
	json     bool
	html     string // file of the page
	baseline string
	reports  string
}

func newCompare(a *app) *cobra.Command {
	o := compareOptions{judging: judging{minEffect: judge.DefaultMinEffect}}
	cmd := &cobra.Command{
		Use:   "compare BASE NEW...",
		Short: "Say what got worse between two runs, and exit 1 on a regression",
		Long: `Compare holds each NEW against BASE and tells, the worst first: what differs of the
machines, checks whose state changed, listeners that appeared or are gone, firewall
verdicts that moved, settings that differ, and benchmarks. Each of them is the
report.json of a run, its folder, or what "loopcheck bench --json" wrote; with
--baseline the base is one that "loopcheck baseline save" kept.

Benchmarks of the same name are compared, restarts against restarts: the ratio of
medians with its 95 % interval and the probability of such a difference by chance
(Mann and Whitney's U test). A regression takes a difference that chance does not
explain, over all benchmarks together, and of --min-effect at least. Where neither
a regression nor its absence can be told, it is inconclusive, with how many more
restarts would decide.

With --html it writes a page as well, which has the distributions of both sides over
each other in charts.

It exits 1 on a regression: of a benchmark, or a check that fails and did not.`,
		Example: "  loopcheck compare reports/2026-03-01T12-00-00Z reports/latest\n  loopcheck compare old.json new.json --min-effect 2%\n  loopcheck compare --baseline main reports/latest --fail-on inconclusive\n  loopcheck compare old.json new.json --html comparison.html",
		Args: func(_ *cobra.Command, args []string) error {
			least := 2
			if o.baseline != "" {
				least = 1
			}
			if len(args) < least {
				return usagef("compare takes a BASE and a NEW, each a report.json, the folder of a run or what `loopcheck bench --json` wrote; --baseline NAME stands for BASE: see `loopcheck compare --help`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.compare(o, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	f.StringVar(&o.html, "html", "", "also write one page for people to `FILE`, such as comparison.html")
	f.StringVar(&o.baseline, "baseline", "", "compare with the baseline of that `NAME`, in the place of BASE")
	f.StringVar(&o.reports, "reports", "reports", "the reports folder `DIR` that has the baselines")
	f.Var(&o.minEffect, "min-effect", minEffectUsage)
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 also when a benchmark is one of these `VERDICTS`: inconclusive")
	return cmd
}

// sourced is a report and where it was read from.
type sourced struct {
	source string
	*report.Report
}

func (a *app) compare(o compareOptions, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.html != "" {
		if err := replaceable(o.html); err != nil {
			return usagef("--html: %w: choose another file", err)
		}
	}
	var base sourced
	var err error
	if o.baseline != "" {
		base, err = loadBaseline(o.reports, o.baseline)
	} else {
		base, err = loadReport(args[0])
		args = args[1:]
	}
	if err != nil {
		return err
	}
	var all []*compare.Comparison
	for _, path := range args {
		after, err := loadReport(path)
		if err != nil {
			return err
		}
		c := comparison(base, after, o.rules())
		if err := c.Common(); err != nil {
			return &usageError{err}
		}
		all = append(all, c)
	}
	if o.html != "" {
		if err := folder.Write(o.html, compare.HTML(all...)); err != nil {
			return err
		}
	}
	if err := ignoreClosedPipe(a.printComparisons(o.json, all...)); err != nil {
		return err
	}
	return o.verdict(all...)
}

func comparison(base, after sourced, rules judge.Rules) *compare.Comparison {
	c := compare.Reports(base.Report, after.Report, rules)
	c.Base.Source, c.New.Source = base.source, after.source
	return c
}

// loadReport reads what is to be compared.
func loadReport(path string) (sourced, error) {
	r, err := compare.Load(path)
	if err != nil {
		return sourced{}, &usageError{err}
	}
	return sourced{path, r}, nil
}

// loadBaseline reads a baseline of a reports folder.
func loadBaseline(reports, name string) (sourced, error) {
	r, err := baseline.Load(reports, name)
	if err != nil {
		return sourced{}, usagef("--baseline: %w", err)
	}
	return sourced{"baseline " + name, r}, nil
}

// printComparisons prints them as text, or as one JSON document.
func (a *app) printComparisons(asJSON bool, all ...*compare.Comparison) error {
	if asJSON {
		return compare.JSON(all...)(a.stdout)
	}
	style := report.Style{Color: a.colored(a.stdout), Width: columns(a.stdout)}
	for i, c := range all {
		if i > 0 {
			if _, err := fmt.Fprintln(a.stdout); err != nil {
				return err
			}
		}
		if err := compare.Text(c, style)(a.stdout); err != nil {
			return err
		}
	}
	return nil
}
