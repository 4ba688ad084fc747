package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// ladderOptions are the flags of bench ladder.
type ladderOptions struct {
	placements []string
	restarts   int
	window     time.Duration
	duration   time.Duration
	rules      bool
	json       bool
}

func newBenchLadder(a *app) *cobra.Command {
	var o ladderOptions
	cmd := &cobra.Command{
		Use:   "ladder",
		Short: "Show where the time of a round trip goes, step by step",
		Long: `Ladder measures steps of which each does what an earlier one does, and more, and
subtracts: reading the clock, a system call, waking another thread, a pipe, a unix
socket, UDP, TCP, TCP through Go's net package, HTTP and TLS. They take turns, so
that what drifts meets all alike, and a difference is told with its interval.

Then it measures what this machine's netfilter rules cost a round trip: in two
private network namespaces, of which one has a copy of the rules. Reading them
takes root. Nothing on the machine is changed.

A placement is where both ends run: same-core, or another core, which is told to be
smt-sibling, same-llc, cross-llc or cross-socket, or free for where the scheduler
puts them.`,
		Example: "  loopcheck bench ladder\n  loopcheck bench ladder --placement same-core --rules=false\n  loopcheck bench ladder --duration 10s --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.benchLadder(o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.placements, "placement", nil, "where both ends run: `PLACEMENTS` such as same-core,cross-core; those two, as far as they are there, unless told")
	f.IntVar(&o.restarts, "restarts", bench.DefaultLadderRestarts, "measure each step `N` times over fresh sockets; rules two and a half times as often")
	f.DurationVar(&o.window, "window", bench.DefaultLadderWindow, "measure for `TIME` in each restart, after its warm-up")
	f.DurationVar(&o.duration, "duration", 0, "begin no round that would end after `TIME`, of which a third is kept for rules; 0 makes all restarts")
	f.BoolVar(&o.rules, "rules", true, "measure what netfilter rules cost as well")
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	return cmd
}

func (o ladderOptions) check() error {
	switch {
	case o.restarts < 1:
		return usagef("--restarts %d: write 1 or more", o.restarts)
	case o.window <= 0:
		return usagef("--window %v: write a time such as 40ms", o.window)
	case o.duration < 0:
		return usagef("--duration %v: write a time such as 10s, or 0 for all restarts", o.duration)
	}
	return nil
}

// rulesShare is the part of a bounded time that is kept for the rules.
const rulesShare = 3

func (a *app) benchLadder(o ladderOptions) error {
	ctx, stop := interruptible()
	started, noise := time.Now(), host.StartNoise()
	measured := &report.Ladders{
		SchemaVersion: report.SchemaVersion, Tool: tool(), Started: started.UTC(),
		Command: append([]string{"loopcheck"}, os.Args[1:]...), Host: host.Read(),
	}
	var err error
	measured.Ladders, err = a.ladders(ctx, o)
	if _, ok := errors.AsType[*bench.SpecError](err); ok {
		return usagef("--%w", err)
	}
	if absent, ok := errors.AsType[*topology.UnavailableError](err); ok {
		return usagef("--placement %s: %w", absent.Placement, err)
	}
	if err == nil && o.rules {
		var rules bench.Rules
		rules, err = a.rulesCost(ctx, o, time.Since(started))
		measured.Rules = &rules
	}
	measured.Duration, measured.Noise, measured.Interrupted = time.Since(started), noise.Stop(), stop.code() != 0
	stop.enter(printing)
	write := report.LaddersText(measured, report.Style{Color: a.colored(a.stdout), Width: columns(a.stdout)})
	if o.json {
		write = report.LaddersJSON(measured)
	}
	if err := ignoreClosedPipe(write(a.stdout)); err != nil {
		return err
	}
	return stop.or(err)
}

// ladders measures the steps, and shows how far it has come.
func (a *app) ladders(ctx context.Context, o ladderOptions) ([]bench.Ladder, error) {
	plan := bench.LadderPlan{Restarts: o.restarts, Window: o.window, Limit: o.duration}
	if o.rules {
		plan.Limit -= o.duration / rulesShare
	}
	for _, name := range o.placements {
		plan.Placements = append(plan.Placements, topology.Placement(name))
	}
	var bar *progress.Bar
	defer func() {
		if bar != nil {
			bar.Close()
		}
	}()
	plan.Progress = func(p bench.Progress) {
		if bar == nil { // how many steps there are is told with the first
			bar = progress.NewBar(a.stderr, a.progressStyle(), "the ladder", p.Of*p.Rounds)
		}
		bar.Add(1)
	}
	return bench.MeasureLadder(ctx, plan)
}

// rulesCost measures what the rules cost in what is left of the time.
func (a *app) rulesCost(ctx context.Context, o ladderOptions, passed time.Duration) (bench.Rules, error) {
	plan := bench.RulesPlan{
		Restarts: max(1, o.restarts*bench.DefaultRulesRestarts/bench.DefaultLadderRestarts), Window: o.window,
	}
	if o.duration > 0 {
		plan.Limit = max(o.duration-passed, o.duration/rulesShare)
	}
	bar := progress.NewBar(a.stderr, a.progressStyle(), "what netfilter rules cost", 0)
	defer bar.Close()
	rules, err := bench.MeasureRules(ctx, plan)
	if err != nil {
		return rules, fmt.Errorf("measure what rules cost: %w", err)
	}
	return rules, nil
}
