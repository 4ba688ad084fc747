package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/compare"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// abOptions are the flags of bench --ab.
type abOptions struct {
	judging
	on          bool
	setup, undo [2]string // of A and B
	ruleFiles   [2]string
	binary      string
}

// abFlags are those that take --ab.
var abFlags = []string{"a-setup", "a-undo", "b-setup", "b-undo", "rules-a", "rules-b", "b-binary", "min-effect"}

// abHelp is what the help of bench says of them.
const abHelp = `With --ab two sides are measured in turns, A B B A and so on, so that what drifts
meets both alike, and judged as "loopcheck compare" does: exit 1 where B is slower.
--restarts says how many rounds count, 30 if it is not given, and --duration after
what time no more are begun; a round that something
disturbed on one side is left out on both. The sides are told apart by commands,
which /bin/sh runs on this machine as they are, around each turn of their side; by
rules, each loaded into private namespaces, where a side without has none; or by
another loopcheck. A command that undoes is run however the turn ends, also on
Ctrl-C and where the setup failed. What a setup leaves running must not write to its
output.`

func (o *abOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.minEffect = judge.DefaultMinEffect
	f.BoolVar(&o.on, "ab", false, "compare two sides in turns: A as told by --a-setup or --rules-a, B as by --b-setup, --rules-b or --b-binary")
	for i, side := range []string{"a", "b"} {
		name := strings.ToUpper(side)
		f.StringVar(&o.setup[i], side+"-setup", "", "run `COMMAND` on this machine before each turn of "+name)
		f.StringVar(&o.undo[i], side+"-undo", "", "run `COMMAND` after each turn of "+name+", however it ends")
		f.StringVar(&o.ruleFiles[i], "rules-"+side, "", "measure "+name+" in private namespaces with the rules of `FILE`")
	}
	f.StringVar(&o.binary, "b-binary", "", "measure B by another loopcheck, the one at `PATH`")
	f.Var(&o.minEffect, "min-effect", "with --ab, "+minEffectUsage)
}

// check refuses flags that do not go together.
func (o *abOptions) check(set func(flag string) bool) error {
	if !o.on {
		for _, flag := range abFlags {
			if set(flag) {
				return fmt.Errorf("--%s is for two sides: add --ab", flag)
			}
		}
		return nil
	}
	if set("precision") {
		return errors.New("--precision and --ab: with --ab, --restarts says how many rounds are measured, and --duration for how long at most")
	}
	if o.binary != "" && (o.ruleFiles[0] != "" || o.ruleFiles[1] != "") {
		return errors.New("--b-binary and --rules-a or --rules-b: write one of them, for both would differ")
	}
	if strings.Join(slices.Concat(o.setup[:], o.undo[:]), "") != "" {
		if _, err := exec.LookPath("/bin/sh"); err != nil {
			return fmt.Errorf("commands of a side are run by /bin/sh, which is not here: %w", err)
		}
	}
	return nil
}

// checkFormat refuses formats that a comparison does not have.
func (o *abOptions) checkFormat(format string) error {
	if o.on && format != "" {
		return oneOf("--ab with --format", format, "text", "json", "html")
	}
	return nil
}

// source is what a side is told apart by.
func (o *abOptions) source(i int) string {
	parts := []string{}
	add := func(flag, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf("--%s %s", flag, value))
		}
	}
	side := []string{"a", "b"}[i]
	add(side+"-setup", o.setup[i])
	add("rules-"+side, o.ruleFiles[i])
	if i == 1 {
		add("b-binary", o.binary)
	}
	if len(parts) == 0 {
		if o.ruleFiles[1-i] != "" {
			parts = append(parts, "no rules")
		} else {
			parts = append(parts, "as this machine is")
		}
	}
	return strings.ToUpper(side) + ": " + strings.Join(parts, ", ")
}

// benchAB measures two sides in turns and compares them.
func (a *app) benchAB(o benchOptions, specs []bench.Spec, dropped []string, plan bench.Plan) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	undo := &undoing{}
	stop := listen(cancel, func(<-chan os.Signal) { _ = undo.now() })
	// Ctrl-\ and a terminal that closes must not leave a side set up. Under nohup(1)
	// the latter is ignored, and stays so.
	signal.Notify(stop.signals, syscall.SIGQUIT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(stop.signals, syscall.SIGHUP)
	}

	prepared, err := o.ab.prepare(ctx, plan.Window, undo)
	if err != nil {
		return stop.or(err)
	}
	started := time.Now().UTC()
	comparisons, left, measureErr := a.turns(ctx, o.ab, prepared, specs, plan)
	for _, note := range dropped {
		left = append(left, compare.NotCompared{Name: "a combination that was asked for", Reason: note})
	}
	if ctx.Err() != nil && !errors.As(measureErr, new(*undoError)) {
		measureErr = nil // it went wrong because of the signal
	}
	if measureErr != nil && len(comparisons) == 0 {
		return abError(measureErr)
	}
	hostname := host.Read().Hostname
	side := func(i int) compare.Side {
		return compare.Side{Source: o.ab.source(i), Version: prepared.versions[i], Hostname: hostname, Started: started, Interrupted: ctx.Err() != nil}
	}
	c := compare.Measured(side(0), side(1), comparisons, left, o.ab.rules())
	stop.enter(writing)
	writeErr := o.output.writeAB(c)
	stop.enter(printing)
	printErr := o.output.printAB(a, c)
	if err := errors.Join(abError(measureErr), writeErr, ignoreClosedPipe(printErr)); err != nil {
		return err
	}
	if err := stop.or(nil); err != nil {
		return err
	}
	if slices.Contains(o.failOn, "skip") && len(left) > 0 {
		return codeError(exitFailed)
	}
	if err := c.Common(); err != nil {
		return err // which is that nothing matched
	}
	o.ab.failOn = o.failOn
	return o.ab.verdict(c)
}

// turns measures benchmark after benchmark, both sides of each in turns, and shows
// how far it has come. It tells which are left out, and why. Of the time that the plan
// has, each benchmark gets an equal part of what those before it left.
func (a *app) turns(ctx context.Context, o abOptions, p *abPrepared, specs []bench.Spec, plan bench.Plan) (all []bench.Comparison, left []compare.NotCompared, err error) {
	rounds, began := plan.Restarts, time.Now()
	bar := progress.NewBar(a.stderr, a.progressStyle(), "A and B of "+countOf(len(specs), "benchmark"), 2*rounds*len(specs))
	defer bar.Close()
	for i, s := range specs {
		name := s.WithDefaults().Name()
		var limit time.Duration
		if plan.Limit > 0 {
			limit = max((plan.Limit-time.Since(began))/time.Duration(len(specs)-i), 1)
		}
		leave := func(reason string) { left = append(left, compare.NotCompared{Name: name, Reason: reason}) }
		if err != nil || ctx.Err() != nil {
			leave("not measured: it ended before")
			continue
		}
		var sides []bench.Side
		if sides, err = o.sides(p, s); err != nil {
			leave("not measured: " + err.Error())
			continue
		}
		name = sides[0].Name()
		told := 0
		var c bench.Comparison
		c, err = bench.Compare(ctx, sides, bench.Rounds{Kept: rounds, Limit: limit, Progress: func(bench.Progress) {
			if told < 2*rounds { // rounds that do not count are made again
				told++
				bar.Add(1)
			}
		}})
		bar.Add(2*rounds - told)
		switch reason := lackOf(err); {
		case reason != "" && !errors.As(err, new(*undoError)):
			leave("skipped: " + reason)
			err = nil
		case c.Kept+c.Discarded > 0:
			all = append(all, c)
		default:
			leave("not measured: it ended before its first round was over")
		}
	}
	return all, left, err
}

// lackOf is what this machine lacks for a benchmark, where an error says so.
func lackOf(err error) string {
	if missing, ok := errors.AsType[*bench.MissingError](err); ok {
		return fmt.Sprintf("needs %s: %v", missing.Needs, missing.Err)
	}
	if skipped, ok := errors.AsType[*skippedError](err); ok {
		return skipped.reason
	}
	return ""
}

// abError makes mistakes in what the user gave usage errors.
func abError(err error) error {
	if errors.As(err, new(*commandError)) {
		return &usageError{err}
	}
	for _, ofRules := range []any{new(*sandbox.RefusedError), new(*ruleset.MissingProgramError), new(*ruleset.FileError), new(*ruleset.RefusedError)} {
		if errors.As(err, ofRules) {
			return rulesError(err)
		}
	}
	return err
}

// writeAB writes the file, as a whole or not at all.
func (o *benchOutput) writeAB(c *compare.Comparison) error {
	if o.file == "" {
		return nil
	}
	switch o.format {
	case "text":
		return folder.Write(o.file, compare.Text(c, report.Style{}))
	case "html":
		return folder.Write(o.file, compare.HTML(c))
	}
	return folder.Write(o.file, compare.JSON(c))
}

// printAB prints what goes to stdout.
func (o *benchOutput) printAB(a *app, c *compare.Comparison) error {
	if o.format == "html" && o.file == "" {
		return compare.HTML(c)(a.stdout)
	}
	return a.printComparisons(o.json || o.format == "json" && o.file == "", c)
}
