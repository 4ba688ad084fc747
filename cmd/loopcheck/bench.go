package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	choice  benchChoice
	ab      abOptions
	profile string
	output  benchOutput
	failOn  []string

	restarts  int
	window    time.Duration
	precision float64
	limit     time.Duration
}

func newBench(a *app) *cobra.Command {
	var o benchOptions
	cmd := benchCommand(&o)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set := func(flag string) bool { return changed(cmd, flag) }
		plan, err := o.plan(set)
		if err != nil {
			return &usageError{err}
		}
		processors, err := topology.Read()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) { // then all are free
			return err
		}
		specs, dropped, err := o.choice.specs(o.profile, set, processors)
		if err != nil {
			return &usageError{err}
		}
		if o.ab.on {
			return a.benchAB(o, specs, dropped, plan)
		}
		return a.bench(o, specs, dropped, plan)
	}
	cmd.AddCommand(newBenchLadder(a))
	return cmd
}

// benchCommand is the command with its flags, which fill o.
func benchCommand(o *benchOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast loopback is",
		Long: `Bench measures round trips and rates over loopback on named processors, and says
how far each median can be trusted. A benchmark is measured again and again over
fresh sockets, in turn with all others: a restart, not a sample, is what the 95 %
interval is of. A restart that something disturbed (the hypervisor, other
processes, a garbage collection) is left out and counted; where more than half
were, the benchmark is inconclusive. The kernel counts what others take in ticks of
10 ms, of which a short restart says little: what they took in all restarts together
makes a benchmark inconclusive as well.

A profile says what is measured: quick takes about 5 seconds, standard about a
minute, and full goes on until each interval is within 2 % of its median, for 10
minutes at most. Where a flag names what to measure, every combination of the
values is measured instead: those that do not exist are left out with a note.

  transports  ` + strings.Join(bench.Transports, ", ") + `
  operations  ` + strings.Join(bench.Ops, ", ") + `
  engines     raw: system calls that block; raw-spin: that do not; netconn: Go's
              net package, with the server in a process of its own
  placements  ` + strings.Join(placementNames(), ", ") + `

` + abHelp + `

Ctrl-C prints what there is so far.`,
		Example: `  loopcheck bench
  loopcheck bench --profile standard --out bench.json
  loopcheck bench --transport tcp,udp --placement same-core,cross-core --size 1,1400
  loopcheck bench --transport tcp --rate 1000,10000 --precision 0.02
  loopcheck bench --transport unix --sweep size
  loopcheck bench --format benchfmt > new.txt && benchstat old.txt new.txt
  loopcheck bench --ab --transport tcp --rules-b new.nft
  loopcheck bench --ab --b-setup 'sysctl -w net.ipv4.tcp_sack=0' --b-undo 'sysctl -w net.ipv4.tcp_sack=1'`,
		Args: noSubcommand,
	}
	f := cmd.Flags()
	o.choice.flags(cmd)
	f.StringVar(&o.profile, "profile", "quick", "measure as `PROFILE` says: quick, standard, full")
	f.IntVar(&o.restarts, "restarts", 0, "measure each benchmark `N` times over fresh sockets, at least (default: as the profile says)")
	f.DurationVar(&o.window, "window", 0, "the `TIME` of one restart that is measured, such as 50ms (default: as the profile says)")
	f.Float64Var(&o.precision, "precision", 0, "go on until each 95 % interval is within `SHARE` of its median, such as 0.02; 0 does not")
	f.DurationVar(&o.limit, "duration", 0, "begin no more after `TIME`, such as 30s (default: as the profile says)")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 when a benchmark is one of these `STATES`: inconclusive, skip")
	o.output.flags(cmd)
	o.ab.flags(cmd)
	for flag, values := range map[string][]string{
		"transport": bench.Transports, "op": bench.Ops, "engine": bench.Engines, "placement": placementNames(), "sweep": sweepable,
		"profile": profileNames, "format": benchFormatNames, "fail-on": benchStates,
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// benchStates are the values of --fail-on.
var benchStates = []string{"inconclusive", "skip"}

func placementNames() (names []string) {
	for _, p := range topology.Asked {
		names = append(names, string(p))
	}
	return names
}

// changed says whether a flag was set: on the command line, by the environment, or
// by the configuration.
func changed(cmd *cobra.Command, name string) bool {
	f := cmd.Flags().Lookup(name)
	return f.Changed || f.Value.String() != f.DefValue
}

// defaultPrecisionLimit bounds a precision that is asked for without a time: a
// machine that is never quiet would be measured for ever.
const defaultPrecisionLimit = 10 * time.Minute

// plan is how often and for how long is measured.
func (o *benchOptions) plan(set func(flag string) bool) (bench.Plan, error) {
	profile, known := benchProfiles[o.profile]
	if !known {
		return bench.Plan{}, oneOf("--profile", o.profile, profileNames...)
	}
	for _, state := range o.failOn {
		if err := oneOf("--fail-on", state, benchStates...); err != nil {
			return bench.Plan{}, err
		}
	}
	if err := cmp.Or(o.ab.check(set), o.ab.checkFormat(o.output.format), o.output.check()); err != nil {
		return bench.Plan{}, err
	}
	plan := profile.plan
	if o.ab.on {
		plan.Restarts, plan.Precision, plan.Limit = bench.DefaultRounds, 0, 0
	}
	if o.choice.chosen(set) && plan.Precision == 0 {
		plan.Limit = 0 // which is that of the profile's own benchmarks
	}
	if o.choice.paced() {
		plan.Window = max(plan.Window, bench.DefaultWindow) // few requests come in a shorter one
	}
	for flag, value := range map[string]time.Duration{"window": o.window, "duration": o.limit} {
		if set(flag) && value <= 0 {
			return plan, fmt.Errorf("--%s %v: write a time above 0, such as 100ms", flag, value)
		}
	}
	switch {
	case set("restarts") && o.restarts < 1:
		return plan, fmt.Errorf("--restarts %d: write 1 or more", o.restarts)
	case !(o.precision >= 0 && o.precision < 1): // which NaN is not either
		return plan, fmt.Errorf("--precision %v: write a share of the median from 0 to below 1, such as 0.02", o.precision)
	}
	if set("restarts") {
		plan.Restarts = o.restarts
	}
	if set("window") {
		plan.Window = o.window
	}
	if set("precision") {
		plan.Precision, plan.Limit = o.precision, max(plan.Limit, defaultPrecisionLimit)
		if o.precision == 0 {
			plan.Limit = 0
		}
	}
	if set("duration") {
		plan.Limit = o.limit
	}
	return plan, nil
}

func (a *app) bench(o benchOptions, specs []bench.Spec, dropped []string, plan bench.Plan) error {
	ctx, stop := interruptible()
	noise := host.StartNoise()
	run := &report.BenchRun{
		Tool: tool(), Started: time.Now().UTC(), Command: append([]string{"loopcheck"}, os.Args[1:]...),
		Host: host.Read(), Dropped: dropped,
	}
	results, measureErr := a.measure(ctx, specs, plan)
	run.Benchmarks, run.Noise, run.Duration = results, noise.Stop(), time.Since(run.Started)
	if ctx.Err() != nil {
		run.Interrupted, measureErr = true, nil
	}
	if measureErr != nil && !slices.ContainsFunc(results, func(r bench.Result) bool { return r.Count > 0 }) {
		return measureErr
	}
	stop.enter(writing)
	writeErr := o.output.write(run)
	stop.enter(printing)
	printErr := o.output.print(a, run)
	if err := errors.Join(measureErr, writeErr, ignoreClosedPipe(printErr)); err != nil {
		return err
	}
	return stop.or(o.verdict(results))
}

// measure shows how far it has come.
func (a *app) measure(ctx context.Context, specs []bench.Spec, plan bench.Plan) ([]bench.Result, error) {
	// Where the precision decides, the time is all that is known of the end.
	total, done := len(specs)*plan.Restarts, 0
	if plan.Precision > 0 && plan.Limit > 0 {
		total = int(plan.Limit.Milliseconds())
	}
	bar := progress.NewBar(a.stderr, a.progressStyle(), countOf(len(specs), "benchmark"), total)
	defer bar.Close()
	plan.Progress = func(p bench.Progress) {
		now := done + 1
		if p.Rounds == 0 && plan.Limit > 0 {
			now = int(p.Elapsed.Milliseconds())
		}
		bar.Add(now - done)
		done = now
	}
	return bench.Measure(ctx, specs, plan)
}

// verdict is the exit code that --fail-on asks for.
func (o benchOptions) verdict(results []bench.Result) error {
	for _, r := range results {
		if r.Inconclusive != "" && slices.Contains(o.failOn, "inconclusive") || r.Skipped != "" && slices.Contains(o.failOn, "skip") {
			return codeError(exitFailed)
		}
	}
	return nil
}
