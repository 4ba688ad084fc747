// Command peers measures loopcheck's benchmarks side by side with the same in C
// (bench/testdata/floor.c) and with other tools, as far as they are installed:
// sockperf, qperf, iperf3, netperf, neper. Both sides take turns, with the same
// placement, size and time; what disturbs one is discarded for both.
//
//	go run ./bench/peers                      all that can be compared here
//	go run ./bench/peers --only tcp/rr        those whose name matches
//	go run ./bench/peers --markdown           the table as docs/measuring.md has it
//	go run ./bench/peers --json peers.json    every restart
//
// It exits with 0 whatever the figures are, with 1 when a comparison failed.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line asks for.
type options struct {
	rounds   int
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

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", bench.DefaultRounds, "how many rounds of each comparison have to count")
	f.DurationVar(&o.window, "window", defaultWindow, "how long each restart measures for; whole seconds beside tools that know no others")
	only := f.String("only", "", "a regular expression: make those comparisons whose name it matches")
	f.BoolVar(&o.list, "list", false, "print the names of all comparisons")
	f.BoolVar(&o.markdown, "markdown", false, "print the table as docs/measuring.md has it")
	f.StringVar(&o.json, "json", "", "write every restart to this file")
	f.StringVar(&o.floor, "floor", "bench/testdata/floor.c", "the floor's source")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: write --only REGEXP to choose comparisons", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("--rounds %d: write 1 or more; a ratio is worth quoting from %d", o.rounds, bench.DefaultRounds)
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
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(stderr, "peers: %v\n", err)
		return exitUsage
	}
	folder, err := os.MkdirTemp("", "peers-*")
	if err != nil {
		fmt.Fprintf(stderr, "peers: %v\n", err)
		return exitFailed
	}
	defer os.RemoveAll(folder)
	floor := newFloor(folder)
	var chosen []comparison
	for _, c := range comparisons(floor.path, floor.copied) {
		if o.only.MatchString(c.name()) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintf(stderr, "peers: --only %q matches no comparison: --list prints all names\n", o.only)
		return exitUsage
	}
	if o.list {
		for _, c := range chosen {
			fmt.Fprintln(stdout, c.name())
		}
		return exitDone
	}
	if slices.ContainsFunc(chosen, func(c comparison) bool { return c.peer.name == floorName }) {
		if err := floor.build(ctx, o.floor); err != nil {
			fmt.Fprintf(stderr, "peers: %v\n", err)
			if !errors.Is(err, errNoCompiler) {
				return exitFailed
			}
		}
	}
	r := report{Started: time.Now(), Machine: machine(), Command: os.Args, Rounds: o.rounds, Versions: map[string]string{"floor": floor.compiler}}
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
	return r.finish(ctx, o, stdout, stderr)
}

// finish prints the report and says how it went.
func (r *report) finish(ctx context.Context, o options, stdout, stderr io.Writer) int {
	print := r.printText
	if o.markdown {
		print = r.printMarkdown
	}
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
		fmt.Fprintf(stderr, "peers: could not be compared: %s\n", strings.Join(failed, ", "))
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
