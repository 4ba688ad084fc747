package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/compare"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// gate compares a run with a baseline, where one is named.
type gate struct {
	name  string
	fails bool // on a regression
	base  sourced
}

func (g *gate) flags(f *pflag.FlagSet) {
	f.StringVar(&g.name, "baseline", "", "compare the run with the baseline of that `NAME`, which is looked for in the folder of --out")
	f.BoolVar(&g.fails, "gate", false, "with --baseline, exit 1 on a regression")
}

// load reads the baseline, so that a mistake ends the run before it begins.
func (g *gate) load(out string) (err error) {
	if g.name == "" {
		if g.fails {
			return usagef("--gate compares with a baseline: name it with --baseline NAME")
		}
		return nil
	}
	g.base, err = loadBaseline(cmp.Or(out, "reports"), g.name)
	return err
}

// compare is nil where there is no baseline.
func (g *gate) compare(r *report.Report, o *output) *compare.Comparison {
	if g.name == "" {
		return nil
	}
	source := "this run"
	if o.dir != "" {
		source = o.dir
	}
	return comparison(g.base, sourced{source, r}, judge.Rules{MinEffect: judge.DefaultMinEffect, Level: judge.DefaultLevel})
}

// write writes the comparison beside the reports.
func (g *gate) write(c *compare.Comparison, o *output) error {
	if c == nil || o.dir == "" {
		return nil
	}
	return errors.Join(
		folder.Write(filepath.Join(o.dir, folder.Comparison), compare.JSON(c)),
		folder.Write(filepath.Join(o.dir, folder.ComparisonHTML), compare.HTML(c)))
}

// verdict is the exit code that --gate asks for. A gate that compares nothing would
// be open for ever: that is a mistake.
func (g *gate) verdict(c *compare.Comparison) error {
	if c == nil || !g.fails {
		return nil
	}
	if err := c.Common(); err != nil {
		return &usageError{err}
	}
	if c.Verdict == judge.Regression {
		return codeError(exitFailed)
	}
	return nil
}

// printGate prints the comparison after the summary. Where stdout is one JSON
// document, the verdict alone goes to stderr.
func (a *app) printGate(asJSON bool, c *compare.Comparison) error {
	if c == nil {
		return nil
	}
	if asJSON {
		_, err := fmt.Fprintln(a.stderr, harmlessLine(c.Sentence()))
		return err
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	return a.printComparisons(false, c)
}
