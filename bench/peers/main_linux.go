// Command peers measures loopcheck's benchmarks side by side with the same in C
// (bench/testdata/floor.c) and with other tools, as far as they are installed:
// sockperf, qperf, iperf3, netperf, neper. Both sides take turns, with the same
// placement, size and time; what disturbs one is discarded for both.
//
//	go run ./bench/peers                      all that can be compared here
//	go run ./bench/peers --only tcp/rr        those whose name matches
//	go run ./bench/peers --markdown           the table as docs/measuring.md has it
//	go run ./bench/peers --json peers.json    every restart
//	go run ./bench/peers --repeat 20 --only tcp/rr/raw    runs of our own alone, and how far they differ
//
// It exits with 0 whatever the figures are, with 1 when something could not be
// measured, with 2 when it does not know what to measure, and with 130 when it was
// interrupted, after what there is was printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	bench.Main()
	if code, is := serveAsPeer(os.Args[1:], os.Stdout, os.Stderr); is {
		os.Exit(code)
	}
	// A reader that has gone is an error like any other, after which the temporary
	// files are removed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line asks for.
type options struct {
	rounds   int
	repeat   int
	window   time.Duration
	only     *regexp.Regexp
	list     bool
	markdown bool
	json     string
	floor    string
}

// defaultWindow holds thousands of round trips, so that its p99 stands on more
// than a few of them.
const defaultWindow = 300 * time.Millisecond

func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(io.Discard) // an error is printed once, by who gets it
	f.IntVar(&o.rounds, "rounds", bench.DefaultRounds, "how many rounds of each comparison have to count")
	f.DurationVar(&o.window, "window", defaultWindow, "how long each restart measures for; whole seconds beside tools that know no others")
	f.IntVar(&o.repeat, "repeat", 0, "run benchmarks of our own so often, and print how far their medians differ")
	only := f.String("only", "", "a regular expression: make those comparisons, or runs, whose name it matches")
	f.BoolVar(&o.list, "list", false, "print the names of all comparisons; with --repeat of all benchmarks")
	f.BoolVar(&o.markdown, "markdown", false, "print the table as docs/measuring.md has it")
	f.StringVar(&o.json, "json", "", "write every restart to this file")
	f.StringVar(&o.floor, "floor", "bench/testdata/floor.c", "the floor's source")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			f.SetOutput(stdout)
			f.Usage()
		}
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: write --only REGEXP to choose comparisons", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("--rounds %d: write 1 or more; a ratio is worth quoting from %d", o.rounds, bench.DefaultRounds)
	case o.repeat < 0 || o.repeat == 1:
		return o, fmt.Errorf("--repeat %d: write 2 or more: one run does not differ", o.repeat)
	case o.window < time.Millisecond || o.window > time.Minute:
		return o, fmt.Errorf("--window %v: write 1ms to 1m", o.window)
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("--only %q: %w", *only, err)
	}
	return o, nil
}

// run is the program. It returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(stderr, "peers: %v\n", err)
		return exitUsage
	}
	r := &report{Started: time.Now(), Machine: machine(), Command: os.Args, Versions: map[string]string{}}
	if o.repeat > 0 {
		return r.repeat(ctx, o, stdout, stderr)
	}
	return r.compare(ctx, o, stdout, stderr)
}

// choose returns those whose name --only matches. Where it is done already, since
// there are none or their names were asked for, it says with what exit code.
func choose[T any](all []T, name func(T) string, o options, stdout, stderr io.Writer) (chosen []T, done bool, code int) {
	chosen = slices.DeleteFunc(all, func(one T) bool { return !o.only.MatchString(name(one)) })
	if len(chosen) == 0 {
		fmt.Fprintf(stderr, "peers: --only %q matches nothing: --list prints all names\n", o.only)
		return nil, true, exitUsage
	}
	if !o.list {
		return chosen, false, exitDone
	}
	for _, one := range chosen {
		if _, err := fmt.Fprintln(stdout, name(one)); err != nil {
			fmt.Fprintf(stderr, "peers: %v\n", err)
			return nil, true, exitFailed
		}
	}
	return nil, true, exitDone
}

// repeat runs our own benchmarks some times.
func (r *report) repeat(ctx context.Context, o options, stdout, stderr io.Writer) int {
	chosen, done, code := choose(repeatable(), bench.Spec.Name, o, stdout, stderr)
	if done {
		return code
	}
	for i, s := range chosen {
		if ctx.Err() != nil {
			break
		}
		run := 0
		r.Repeated = append(r.Repeated, repeat(ctx, s, o.repeat, func(one repetition) {
			run++
			fmt.Fprintf(stderr, "%d of %d, %s, run %d of %d: %s\n", i+1, len(chosen), s.Name(), run, o.repeat, one)
		}))
	}
	if o.markdown {
		return r.finish(ctx, o, r.printRepeatedMarkdown, stdout, stderr)
	}
	return r.finish(ctx, o, r.printRepeated, stdout, stderr)
}

// compare compares our benchmarks with peers.
func (r *report) compare(ctx context.Context, o options, stdout, stderr io.Writer) int {
	folder, err := os.MkdirTemp("", "peers-*")
	if err != nil {
		fmt.Fprintf(stderr, "peers: %v\n", err)
		return exitFailed
	}
	defer os.RemoveAll(folder)
	floor := newFloor(folder)
	itself, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "peers: where this program is: %v\n", err)
		return exitFailed
	}
	chosen, done, code := choose(comparisons(floor.path, floor.copied, itself), comparison.name, o, stdout, stderr)
	if done {
		return code
	}
	if slices.ContainsFunc(chosen, func(c comparison) bool { return c.peer.name == floorName }) {
		if err := floor.build(ctx, o.floor); err != nil {
			fmt.Fprintf(stderr, "peers: %v\n", err)
			if !errors.Is(err, errNoCompiler) {
				return exitFailed
			}
		}
	}
	r.Rounds = o.rounds
	if floor.compiler != "" {
		r.Versions[floorName] = floor.compiler
	}
	for i, c := range chosen {
		if ctx.Err() != nil {
			break
		}
		began := time.Now()
		one := c.run(ctx, o, floor)
		r.Outcomes = append(r.Outcomes, one)
		r.noteVersion(ctx, c, one)
		fmt.Fprintf(stderr, "%d of %d, %s: %s, %.0f s\n", i+1, len(chosen), one.Name, one.summary(), time.Since(began).Seconds())
	}
	if o.markdown {
		return r.finish(ctx, o, r.printMarkdown, stdout, stderr)
	}
	return r.finish(ctx, o, r.printText, stdout, stderr)
}

// finish prints the report and says how it went.
func (r *report) finish(ctx context.Context, o options, print func(io.Writer) error, stdout, stderr io.Writer) int {
	err := print(stdout)
	if o.json != "" {
		err = errors.Join(err, r.write(o.json))
	}
	if err != nil {
		fmt.Fprintf(stderr, "peers: %v\n", err)
		return exitFailed
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "peers: interrupted")
		return exitInterrupted
	}
	if failed := r.failed(); len(failed) > 0 {
		fmt.Fprintf(stderr, "peers: could not be measured: %s\n", strings.Join(failed, ", "))
		return exitFailed
	}
	return exitDone
}

// noteVersion asks the peer of a comparison that was made for its version.
func (r *report) noteVersion(ctx context.Context, c comparison, o outcome) {
	if _, known := r.Versions[c.peer.name]; known || o.Skipped != "" || c.peer.versionArgs == nil {
		return
	}
	client, _ := c.peer.programs(job{transport: c.spec.Transport, op: c.spec.Op})
	out, _ := exec.CommandContext(ctx, client, c.peer.versionArgs...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	r.Versions[c.peer.name] = line
}
